"""One host with a router, two guests and an 'internet', shared by the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.dataplane import names
from pileus.wire.router import RouterSpec
from tests.support import network
from tests.support.network import PREFIX, Client, Lab

pytestmark = pytest.mark.root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root and network namespaces"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with network.lab(tmp_path_factory.mktemp("agent")) as lab:
        lab.apply()
        yield lab


@pytest.fixture
def spec(lab: Lab) -> Iterator[RouterSpec]:
    """Start each test from the plain router."""
    plain = network.router_spec()
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__ if name != "generation"}
    lab.apply(**fields)
    return lab.spec


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[Client]:
    yield from _guest(lab, "web", "02:00:00:00:00:05", "10.1.1.5")


@pytest.fixture(scope="module")
def db(lab: Lab) -> Iterator[Client]:
    yield from _guest(lab, "db", "02:00:00:00:00:06", "10.1.1.6")


@pytest.fixture(scope="module")
def internet(lab: Lab) -> Iterator[Client]:
    client = Client("net", names.public_bridge(PREFIX))
    try:
        client.configure("203.0.113.200/24")
        client.serve(80)
        client.serve(25)
        yield client
    finally:
        client.close()


def _guest(lab: Lab, name: str, mac: str, address: str) -> Iterator[Client]:
    client = Client(name, names.guest_bridge(PREFIX, lab.spec.guest.segment), mac, 1450)
    try:
        client.configure(f"{address}/24", "10.1.1.1")
        client.serve(80)
        client.serve(8001)
        yield client
    finally:
        client.close()
