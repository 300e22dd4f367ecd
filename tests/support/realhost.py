"""A real host of a cloud of this process: the listener for agents, and an agent process that enrolled over it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from pileus.agent.enrol import enrol
from pileus.agent.management import host_context
from pileus.agent.settings import Folder, Settings
from pileus.core import agent_edge, pki
from pileus.core.channel import HttpsChannel
from pileus.core.listeners import Listener
from pileus.core.main import authority_folder, new_token
from pileus.core.mtls import client_context, server_context
from pileus.wire.enrolment import SERVER_NAME
from pileus.wire.hosts import Report
from tests.support.cloud import Cloud
from tests.support.management import free_port
from tests.support.waiting import until


class RealHost:
    """An agent process, the keys that it has, and its host in the cloud."""

    def __init__(self, cloud: Cloud, folder: Path, url: str) -> None:
        self.cloud = cloud
        self.folder = Folder(folder)
        self.url = url
        self.port = free_port()
        self.settings = Settings(address="127.0.0.1", port=self.port, accelerator="tcg")
        self.process: subprocess.Popen[bytes] | None = None
        self.id = ""

    @property
    def keys(self) -> Path:
        return self.folder.keys

    @property
    def certificate(self) -> str:
        return (self.keys / "agent.crt").read_text()

    @property
    def serial(self) -> str:
        return pki.serial_of(self.certificate)

    def enrol(self) -> None:
        self.settings = enrol(self.folder, self.settings, self.url, new_token(self.cloud.options))

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.agent.channel.operations", str(self.keys), str(self.folder.path)]
        self.process = subprocess.Popen([*command, str(self.port), self.settings.host])
        until(lambda: self.presented() is not None, 20, "the agent listens")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def add(self, **place: Any) -> dict[str, Any]:
        (made,) = self.cloud.list(
            "addHost", hypervisor="KVM", url=f"https://127.0.0.1:{self.port}/{self.settings.host}", **place,
            username="", password="",
        )  # fmt: skip
        self.id = made["id"]
        return made

    def report(self, keys: Path | None = None) -> httpx.Response:
        """Send a report as this host, with its keys or with those of a folder."""
        body = msgspec.json.encode(Report(host=self.settings.host, sequence=1, boot="b"))
        with httpx.Client(verify=host_context(keys or self.keys), trust_env=False) as client:
            return client.post(f"{self.url}/agent/report", content=body, extensions={"sni_hostname": SERVER_NAME})

    def presented(self) -> str | None:
        """Return the serial number of the certificate that the agent shows to a new connection."""
        home = authority_folder(self.cloud.options)
        context = client_context(home / "server.crt", home / "server.key", home / "ca.crt")
        with httpx.Client(verify=context, trust_env=False) as client:
            try:
                with client.stream(
                    "GET",
                    f"https://127.0.0.1:{self.port}/operations/none",
                    extensions={"sni_hostname": self.settings.host},
                ) as answer:
                    tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
                    return tls.getpeercert()["serialNumber"].lower().lstrip("0")
            except httpx.ConnectError:
                return None


@contextmanager
def agents_listener(cloud: Cloud) -> Generator[str]:
    """Give the cloud its authority, its channel to agents and their listener; yields the listener's URL."""
    folder = authority_folder(cloud.options)
    authority = pki.Authority.open(folder)
    authority.issue_server(cloud.services.server, [], folder)
    cloud.services.plugins["authority"] = authority
    files = folder / "server.crt", folder / "server.key", folder / "ca.crt"
    channel = HttpsChannel(client_context(*files))
    cloud.channel._agents = channel  # pyright: ignore[reportPrivateUsage]

    async def begin() -> Listener:
        tls = server_context(*files, certificate_required=False)
        listener = Listener(agent_edge.application(cloud.services), "127.0.0.1", 0, tls=tls)
        listener.start()
        return listener

    listener = cloud.run(begin())
    until(lambda: listener.ready, 10)
    try:
        yield f"https://127.0.0.1:{listener.port}"
    finally:
        cloud.run(listener.stop())
        cloud.run(channel.close())
