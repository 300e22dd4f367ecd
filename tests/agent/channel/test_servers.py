"""An agent among several management servers: real servers on one PostgreSQL, reports by the agent's own channel."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from pileus.agent.management import Management, UnreachableError
from pileus.agent.settings import Folder, Settings
from pileus.core import pki
from pileus.core.mtls import client_context
from pileus.core.options import Options
from pileus.wire.enrolment import SERVER_NAME, EnrolAnswer, EnrolRequest
from pileus.wire.hosts import HostFacts, Report
from tests.api.test_server_process import free_ports, server, wait
from tests.support.cloud import Person, signed
from tests.support.postgres import fresh_database, postgres_server
from tests.support.waiting import until

__all__ = ["postgres_server"]


@pytest.fixture
def clouds(postgres_server: str, tmp_path: Path) -> Iterator[tuple[list[Options], list[Any], Person]]:
    """Two servers of one cloud: their options, processes, and the admin."""
    ports = free_ports(4)
    folders = [tmp_path / name for name in ("one", "two")]
    with fresh_database(postgres_server, "agent_servers") as url:
        options = [
            Options(data=folder, port=ports[2 * n], agent_port=ports[2 * n + 1], listen="127.0.0.1", database=url)
            for n, folder in enumerate(folders)
        ]
        for folder in folders:
            folder.mkdir()
        with server(options[0]) as first:
            wait(options[0], first)
            found = json.loads(options[0].admin_file.read_bytes())
            admin = Person("admin", found["apikey"], found["secretkey"])
            home = options[1].home
            home.mkdir()
            shutil.copy(options[0].home / "secrets.key", home)
            (home / "ca").mkdir()
            for name in ("ca.crt", "ca.key"):
                shutil.copy(options[0].home / "ca" / name, home / "ca")
            with server(options[1]) as second:
                wait(options[1], second)
                yield options, [first, second], admin


def call(options: Options, person: Person, command: str, **parameters: str) -> dict[str, Any]:
    given = signed({"command": command, "response": "json"} | parameters, person)
    answer = httpx.post(f"http://127.0.0.1:{options.port}/client/api", data=given, timeout=30)
    assert answer.status_code == 200, answer.text
    (content,) = answer.json().values()
    return content


def enrolled(options: Options, folder: Path) -> tuple[Management, str]:
    """Enrol a host with a server; return its way to management."""
    argv = [sys.executable, "-P", "-m", "pileus.core.main", "token", "--data", str(options.data)]
    token = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    agent = Folder(folder)
    agent.make()
    host = str(uuid.uuid4())
    facts = HostFacts(
        uuid=host, name="h", hypervisor="KVM", hypervisor_version="1", accelerator="tcg", cpus=1, cpu_mhz=1000,
        cpu_model="none", memory_mib=1024,
    )  # fmt: skip
    shutil.copy(options.home / "ca" / "ca.crt", agent.keys)
    context: ssl.SSLContext = client_context(None, None, agent.keys / "ca.crt")
    request = EnrolRequest(
        secret=token.rpartition(".")[0], csr=pki.new_request(agent.keys / "agent.key"), facts=facts,
        address="127.0.0.1", port=8250,
    )  # fmt: skip
    with httpx.Client(verify=context, trust_env=False) as client:
        answer = client.post(
            f"{options.agents_url}/agent/enrol",
            content=msgspec.json.encode(request),
            extensions={"sni_hostname": SERVER_NAME},
        ).raise_for_status()
    made = msgspec.json.decode(answer.content, type=EnrolAnswer)
    (agent.keys / "agent.crt").write_text(made.certificate)
    agent.save(Settings(host=host, servers=[options.agents_url]))
    return Management(agent, agent.load()), host


@pytest.mark.postgres
def test_an_agent_knows_all_servers_and_moves_when_its_own_goes(
    clouds: tuple[list[Options], list[Any], Person], tmp_path: Path
) -> None:
    options, processes, admin = clouds
    urls = [each.agents_url for each in options]
    management, host = enrolled(options[0], tmp_path / "agent")
    numbers = iter(range(1, 1000))

    def report() -> list[str]:
        return management.report(Report(host=host, sequence=next(numbers), boot="b")).servers

    until(lambda: sorted(report()) == sorted(urls), 20, "both servers are told")
    assert sorted(Folder(tmp_path / "agent").load().servers) == sorted(urls)
    assert Folder(tmp_path / "agent").load().origin == [urls[0]]
    assert management.current == urls[0], "a server that works is not left"

    # Its server goes into maintenance: it is told the other one alone, and moves.
    names = {(each.home / "server.id").read_text().strip(): each for each in options}
    first = next(name for name, each in names.items() if each is options[0])
    told = call(options[1], admin, "prepareForMaintenance", managementserverid=first, algorithm="shuffle")
    assert told["prepareformaintenance"]["state"] in ("PreparingForMaintenance", "Maintenance")
    until(lambda: report() == [urls[1]] and management.current == urls[1], 20, "the agent moves")
    call(options[1], admin, "cancelMaintenance", managementserverid=first)
    until(lambda: sorted(report()) == sorted(urls), 20, "both servers are told again")
    assert management.current == urls[1]

    # It goes back to the preferred one when it is told to look for it.
    call(options[1], admin, "updateConfiguration", name="host", value=f"127.0.0.1:{options[0].agents_port},127.0.0.1")
    call(options[1], admin, "updateConfiguration", name="indirect.agent.lb.check.interval", value="1")
    until(lambda: report() == urls and management.current == urls[0], 20, "the preferred server")

    # Its server is killed: the next report reaches the other one.
    processes[0].send_signal(signal.SIGKILL)
    processes[0].wait(10)
    report()
    assert management.current == urls[1]
    again = Management(Folder(tmp_path / "agent"), Folder(tmp_path / "agent").load())
    again.report(Report(host=host, sequence=next(numbers), boot="b"))
    assert again.current == urls[1], "a restarted agent knows the list"
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait(10)
    with pytest.raises(UnreachableError):
        report()
    again.close()
    management.close()


@pytest.mark.postgres
@pytest.mark.root
@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_an_agents_process_goes_on_with_the_other_server(
    clouds: tuple[list[Options], list[Any], Person], tmp_path: Path
) -> None:
    options, processes, admin = clouds
    data, port = tmp_path / "host", free_ports(1)[0]

    def agent(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "pileus.agent.main", *arguments, "--data", str(data)]

    argv = [sys.executable, "-P", "-m", "pileus.core.main", "token", "--data", str(options[0].data)]
    token = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    given = ["--server", options[0].agents_url, "--token", token, "--port", str(port), "--prefix", "tls"]
    given += ["--report-interval", "1", "--name", "host-1"]
    done = subprocess.run(agent("enrol", *given), capture_output=True, text=True, timeout=90, check=True)
    host = done.stdout.strip()
    running = subprocess.Popen(agent("run"))
    try:
        zone = call(options[0], admin, "createZone", name="z", networktype="Advanced", dns1="192.0.2.1",
                    internaldns1="192.0.2.1")["zone"]["id"]  # fmt: skip
        pod = call(options[0], admin, "createPod", name="p", zoneid=zone)["pod"]["id"]
        at = {"zoneid": zone, "podid": pod, "hypervisor": "KVM"}
        cluster = call(options[0], admin, "addCluster", clustername="c", clustertype="CloudManaged", **at)["cluster"][0]
        call(options[0], admin, "addHost", clusterid=cluster["id"], url=f"https://127.0.0.1:{port}/{host}", **at)
        urls = sorted(each.agents_url for each in options)
        assert sorted(Folder(data).load().servers) == urls, "it is told of both when it enrols"

        def pinged() -> str:
            (found,) = call(options[1], admin, "listHosts", id=host)["host"]
            return str(found.get("lastpinged", "")) if found["state"] == "Up" else ""

        until(pinged, 60, "the agent reports")
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait(10)

        before = pinged()
        until(lambda: pinged() > before, 30, "the other server takes the reports")
        until(lambda: Folder(data).load().servers == [options[1].agents_url], 30, "and tells that it is alone")
    finally:
        subprocess.run(agent("teardown"), check=True, timeout=90)  # ends the agent too
        running.wait(60)
