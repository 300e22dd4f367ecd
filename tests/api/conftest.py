"""Clouds for API tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import proofs
from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

Changed = dict[str, set[str]]
"""Test -> settings that it has changed."""

_numbers = itertools.count()
_PASSED = pytest.StashKey[bool]()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A new cloud without anything but its admin."""
    with Cloud.start(tmp_path) as running:
        yield running


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with fresh_database(postgres_server, f"api_{next(_numbers)}") as url:
        yield url


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note which tests have passed."""
    if call.when == "call" and call.excinfo is None:
        item.stash[_PASSED] = True


@pytest.fixture(scope="module", autouse=True)
def proofs_of_settings(request: pytest.FixtureRequest) -> Iterator[Changed]:
    """Hold the tests of ``proofs`` to changing the settings that they are named for."""
    changed: Changed = {}
    yield changed
    if request.config.getoption("keyword") or any("[" in word for word in request.config.args):
        return  # of some tests not all cases were run
    for function, settings in proofs.of_module(request.path.name).items():
        ours = [item for item in request.session.items if _function(item) == (request.path, function)]
        if ours and all(item.stash.get(_PASSED, False) for item in ours):
            missing = settings - changed.get(function, set())
            assert not missing, f"{function} does not change {missing} by updateConfiguration, so it shows no effect"


@pytest.fixture(autouse=True)
def _settings_changed(request: pytest.FixtureRequest, proofs_of_settings: Changed) -> Iterator[None]:
    before = len(Cloud.settings_changed)
    yield
    _, function = _function(request.node)
    proofs_of_settings.setdefault(function, set()).update(Cloud.settings_changed[before:])


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)
