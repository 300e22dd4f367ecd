"""A server with a zone of simulated hosts, for clients that bring their own HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.cloud import Cloud
from tests.support.zones import simulated_zone


@dataclass(frozen=True)
class Server:
    """Where the server is, and the root admin's keys."""

    cloud: Cloud
    url: str
    zone: dict[str, str]

    @property
    def keys(self) -> tuple[str, str]:
        """Return API key and secret key."""
        return self.cloud.root.apikey, self.cloud.root.secretkey

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that `cs` and Ansible's modules read."""
        key, secret = self.keys
        return {"CLOUDSTACK_ENDPOINT": self.url, "CLOUDSTACK_KEY": key, "CLOUDSTACK_SECRET": secret}

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return urlsplit(self.url).port or 0

    def commands(self) -> list[str]:
        """Return the names of all commands."""
        return [api["name"] for api in self.cloud.list("listApis")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with a zone."""
    folder: Path = tmp_path_factory.mktemp("cloud")
    with Cloud.start(folder) as cloud:
        yield Server(cloud, cloud.listen(), simulated_zone(cloud))
