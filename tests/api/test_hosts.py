"""Hosts: simulated ones added and removed; real ones enrolled over mutual TLS, reporting, silent, back again."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from pileus.core import agent_edge, database, pki
from pileus.core.errors import InvalidParameter
from pileus.core.jobs.tables import job
from pileus.core.listeners import Listener
from pileus.core.mtls import client_context, server_context
from pileus.infrastructure import reconnecting, reports
from pileus.infrastructure.tables import agent, enrolment_token, host
from pileus.wire.enrolment import SERVER_NAME, EnrolAnswer, EnrolRequest, RenewAnswer, RenewRequest, ReportAnswer
from pileus.wire.hosts import HostFacts, Report
from pileus.wire.statistics import HostStatistics, Statistics
from tests.api.test_zones import make_zone, refused
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone

MIB = 1024 * 1024


def place(cloud: Cloud, hypervisor: str = "Simulator") -> dict[str, str]:
    zone = make_zone(cloud)
    pod = cloud.api("createPod", name="p1", zoneid=zone["id"])["pod"]
    cluster = cloud.list(
        "addCluster",
        zoneid=zone["id"],
        podid=pod["id"],
        clustername="c1",
        clustertype="CloudManaged",
        hypervisor=hypervisor,
    )[0]
    return {"zoneid": zone["id"], "podid": pod["id"], "clusterid": cluster["id"], "hypervisor": hypervisor}


def test_simulated_host_is_large_and_up_at_once(cloud: Cloud) -> None:
    at = place(cloud)
    made = cloud.list("addHost", url="http://sim/c0/h0", hosttags="ssd,gpu", **at)[0]
    assert (made["name"], made["state"], made["resourcestate"]) == ("c0-h0", "Up", "Enabled")
    assert (made["cpunumber"], made["cpuspeed"], made["memorytotal"]) == (128, 2500, 2 * 1024 * 1024 * MIB)
    assert made["hosttags"] == "ssd,gpu"
    assert made["cpuallocated"] == "0%"
    assert "c0-h0" in refused(cloud, "addHost", url="http://sim/c0/h0", **at).text
    assert cloud.list("listHosts", type="Routing", state="up", clusterid=at["clusterid"])[0]["id"] == made["id"]
    assert cloud.list("listHosts", type="ConsoleProxy") == []
    assert cloud.list("listHosts", arch="x86_64", version=made["version"])[0]["id"] == made["id"]
    assert cloud.list("listHosts", arch="aarch64") == []
    smallest = cloud.list("listHosts", id=made["id"], details="min")[0]
    assert "cpuallocated" not in smallest
    assert cloud.list("listClusters", showcapacities=True)[0]["capacity"][1]["capacitytotal"] == 128 * 2500


def test_the_address_of_a_simulated_host_fits_its_column(cloud: Cloud) -> None:
    added = cloud.list("addHost", url=f"http://[fe80::1%25{'a' * 80}]/h0", **place(cloud))[0]
    assert added["ipaddress"] == "fe80::1"


def test_host_is_changed_reconnected_and_deleted(cloud: Cloud) -> None:
    at = place(cloud)
    made = cloud.list("addHost", url="http://sim/c0/h0", **at)[0]
    changed = cloud.api("updateHost", id=made["id"], allocationstate="Disable", hosttags="a", name="new")["host"]
    assert (changed["resourcestate"], changed["hosttags"], changed["name"]) == ("Disabled", "a", "new")
    assert cloud.api("updateHost", id=made["id"], allocationstate="Enable")["host"]["resourcestate"] == "Enabled"
    assert cloud.job("reconnectHost", id=made["id"])["state"] == "Up"
    assert "host (new)" in refused(cloud, "deleteCluster", id=at["clusterid"]).text
    assert cloud.api("deleteHost", id=made["id"], forced=True) == {"success": True}
    assert cloud.list("listHosts") == []
    assert cloud.api("deleteCluster", id=at["clusterid"]) == {"success": True}


def test_only_a_host_in_maintenance_or_away_is_deleted_without_force(cloud: Cloud) -> None:
    at = place(cloud)
    first, away = (cloud.list("addHost", url=f"http://sim/c0/h{n}", **at)[0]["id"] for n in range(2))
    for state, why in (("Enable", "Enabled: prepare it for maintenance"), ("Disable", "Disabled: prepare it")):
        cloud.api("updateHost", id=first, allocationstate=state)
        refusal = refused(cloud, "deleteHost", id=first)
        assert refusal.code == 431
        assert why in refusal.text
        assert "forced=true" in refusal.text
    cloud.api("updateHost", id=first, allocationstate="Enable")
    cloud.job("prepareHostForMaintenance", id=first)
    assert cloud.api("deleteHost", id=first) == {"success": True}
    with cloud.services.database.write() as db:
        db.execute(sa.text("UPDATE host SET state = 'Disconnected'"))
    assert cloud.api("deleteHost", id=away) == {"success": True}  # it cannot be asked to empty itself
    assert cloud.list("listHosts") == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"url": "ftp://somewhere"}, "url"),
        ({"hypervisor": "KVM"}, "hypervisor"),
        ({"hosttags": "a b"}, "hosttags"),
        ({"allocationstate": "Maybe"}, "allocationstate"),
    ],
)
def test_host_refusals(cloud: Cloud, wrong: dict[str, str], named: str) -> None:
    given = place(cloud) | {"url": "http://sim/c0/h1"} | wrong
    error = refused(cloud, "addHost", **given)
    assert error.code == 431
    assert named in error.text


def test_unmanaged_cluster_lets_its_hosts_go(cloud: Cloud) -> None:
    at = place(cloud)
    cloud.list("addHost", url="http://sim/c0/h0", **at)
    for managed, state in (("Unmanaged", "Disconnected"), ("Managed", "Up")):
        cloud.api("updateCluster", id=at["clusterid"], managedstate=managed)
        assert cloud.list("listHosts")[0]["state"] == state


def test_no_host_of_an_unmanaged_cluster_is_up(cloud: Cloud) -> None:
    at = place(cloud)
    cloud.api("updateCluster", id=at["clusterid"], managedstate="Unmanaged")
    added = cloud.list("addHost", url="http://sim/c0/h0", **at)[0]
    assert added["state"] == "Disconnected"
    assert "unmanaged cluster c1" in refused(cloud, "reconnectHost", id=added["id"]).text
    with cloud.services.database.write() as db:
        row = db.execute(sa.select(host)).one()
        reconnecting.take_back(db, row.id, {})
    assert cloud.list("listHosts")[0]["state"] == "Disconnected"
    cloud.api("updateCluster", id=at["clusterid"], managedstate="Managed")
    assert cloud.job("reconnectHost", id=added["id"])["state"] == "Up"
    cloud.api("deleteHost", id=added["id"], forced=True)
    with cloud.services.database.write() as db, pytest.raises(InvalidParameter, match="deleted"):
        reconnecting.take_back(db, row.id, {})


def test_a_host_has_a_tag_rule_an_os_category_and_notes(cloud: Cloud) -> None:
    at = place(cloud)
    made = cloud.list("addHost", url="http://sim/c0/h0", hosttags="a", **at)[0]
    rule = "tags.indexOf('ssd') >= 0 || tags[0] == \"x,y\""
    changed = cloud.api("updateHost", id=made["id"], hosttags=rule, istagarule=True)["host"]
    assert (changed["hosttags"], changed["istagarule"]) == (rule, True)
    for wrong in ("tags.push('a')", "while(true){}"):
        assert "tag rule" in refused(cloud, "updateHost", id=made["id"], hosttags=wrong, istagarule=True).text
    assert "istagarule" in refused(cloud, "updateHost", id=made["id"], istagarule=True).text
    changed = cloud.api("updateHost", id=made["id"], hosttags="b")["host"]
    assert (changed["hosttags"], changed["istagarule"]) == ("b", False)
    linux = cloud.list("listOsCategories", name="Ubuntu")[0]
    changed = cloud.api("updateHost", id=made["id"], oscategoryid=linux["id"], annotation="a new fan")["host"]
    assert (changed["oscategoryid"], changed["oscategoryname"]) == (linux["id"], "Ubuntu")
    assert changed["annotation"] == "a new fan"
    assert cloud.list("listAnnotations", entitytype="HOST", entityid=made["id"])[0]["annotation"] == "a new fan"
    assert "annotation" in refused(cloud, "updateHost", id=made["id"], annotation=" ").text


def test_machines_go_by_rule_category_and_number(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=3)
    first, second, third = (host["id"] for host in cloud.list("listHosts"))
    network = isolated_network(cloud, zone, "n1")
    cloud.api("updateHost", id=first, hosttags="tags.includes('gpu')", istagarule=True)
    template = cloud.list("listTemplates", templatefilter="all", id=zone["template"])[0]
    category = cloud.list("listOsTypes", id=template["ostypeid"])[0]["oscategoryid"]
    cloud.api("updateHost", id=third, oscategoryid=category)
    cloud.api("updateHypervisorCapabilities", hypervisor="Simulator", maxguestslimit=1)
    assert cloud.list("listHypervisorCapabilities", hypervisor="Simulator")[0]["maxguestslimit"] == 1
    where = [cloud_host(cloud, machine(cloud, zone, network, name)["id"]) for name in ("vm1", "vm2")]
    assert where == [third, second]  # the category's host first; the rule's host not at all
    with pytest.raises(Refused, match=r"1 does not take the offering by its tag rule"):
        machine(cloud, zone, network, "vm3")
    with pytest.raises(Refused, match=r"2 have as many machines as their hypervisor may"):
        machine(cloud, zone, network, "vm4")
    gpu = cloud.api(
        "createServiceOffering", name="gpu", displaytext="gpu", cpunumber=1, cpuspeed=500, memory=256, hosttags="x,gpu"
    )["serviceoffering"]["id"]
    made = machine(cloud, zone | {"offering": gpu}, network, "vm5")
    assert cloud_host(cloud, made["id"]) == first
    assert "maxguestslimit" in refused(cloud, "updateHypervisorCapabilities", hypervisor="KVM", maxguestslimit=0).text


def cloud_host(cloud: Cloud, machine_id: str) -> str:
    return cloud.list("listVirtualMachines", id=machine_id)[0]["hostid"]


def test_passwords_of_hosts_are_kept_encrypted(cloud: Cloud) -> None:
    at = place(cloud)
    made = cloud.list("addHost", url="http://sim/c0/h0", username="root", password="opened sesame", **at)[0]
    assert made["username"] == "root"
    other = cloud.list("addHost", url="http://sim/c0/h1", **at)[0]
    given = {"username": "ops", "password": "a closed door"}
    assert cloud.api("updateHostPassword", hostid=made["id"], **given) == {"success": True}
    assert cloud.list("listHosts", id=made["id"])[0]["username"] == "ops"
    assert "username" not in cloud.list("listHosts", id=other["id"])[0]
    cloud.api("updateHostPassword", clusterid=at["clusterid"], **(given | {"username": "all"}))
    assert {each["username"] for each in cloud.list("listHosts")} == {"all"}
    with cloud.services.database.read() as db:
        kept = db.execute(sa.select(host.c.password)).scalars().all()
    assert [cloud.services.secrets.decrypt(each) for each in kept] == ["a closed door"] * 2
    assert "closed" not in "".join(kept)
    assert "not both" in refused(cloud, "updateHostPassword", **given).text
    both = {"hostid": made["id"], "clusterid": at["clusterid"]}
    assert "not both" in refused(cloud, "updateHostPassword", **given, **both).text
    assert refused(cloud, "updateHostPassword", cloud.domain_admin, hostid=made["id"], **given).code == 401


def test_passwords_are_changed_on_hosts_and_then_kept(cloud: Cloud) -> None:
    at = place(cloud)
    made = [
        cloud.list("addHost", url=f"http://sim/c0/h{n}", username="root", password="old one", **at)[0] for n in (0, 1)
    ]
    given = {"username": "ops", "password": "a closed door", "update_passwd_on_host": True}
    assert cloud.api("updateHostPassword", hostid=made[0]["id"], **given) == {"success": True}
    assert [cloud.list("listHosts", id=each["id"])[0]["username"] for each in made] == ["ops", "root"]
    assert cloud.api("updateHostPassword", clusterid=at["clusterid"], **given) == {"success": True}
    assert {each["username"] for each in cloud.list("listHosts")} == {"ops"}
    with cloud.services.database.read() as db:
        kept = db.execute(sa.select(host.c.password)).scalars().all()
        jobs = db.execute(sa.select(sa.cast(job.c.arguments, sa.Text))).scalars().all()
    assert [cloud.services.secrets.decrypt(each) for each in kept] == ["a closed door"] * 2
    assert not any("closed" in each for each in jobs)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).where(host.c.uuid == made[1]["id"]).values(state="Down"))
    gone = refused(cloud, "updateHostPassword", clusterid=at["clusterid"], **(given | {"username": "late"}))
    assert gone.code == 431
    assert {each["username"] for each in cloud.list("listHosts")} == {"ops"}


def test_hosts_are_listed_by_their_management_server(cloud: Cloud) -> None:
    made = cloud.list("addHost", url="http://sim/c0/h0", **place(cloud))[0]
    me = cloud.list("listManagementServers")[0]
    assert made["managementserverid"] == made["managementservername"] == me["id"]
    assert [each["id"] for each in cloud.list("listHosts", managementserverid=me["id"])] == me["agents"] == [made["id"]]
    assert "managementserverid" in refused(cloud, "listHosts", managementserverid="nobody").text


# Real hosts


class Edge:
    """The listener for agents of a cloud in this process, by real TLS on loopback."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.authority = pki.Authority.open(folder)
        self.authority.issue_server("s", [], folder)
        cloud.services.plugins["authority"] = self.authority
        tls = server_context(
            folder / "server.crt", folder / "server.key", folder / "ca.crt", certificate_required=False
        )
        self.listener = Listener(agent_edge.application(cloud.services), "127.0.0.1", 0, tls=tls)
        self.url = f"https://127.0.0.1:{self.listener.port}"

    def token(self, seconds: float = 60) -> str:
        secret = secrets.token_urlsafe(16)
        with self.cloud.services.database.write() as db:
            digest = hashlib.sha256(secret.encode()).hexdigest()
            database.insert(db, enrolment_token, token_hash=digest, expires=database.now() + seconds)
        return secret

    def post(self, path: str, body: msgspec.Struct, host: Path | None = None) -> httpx.Response:
        context: ssl.SSLContext = client_context(
            host / "agent.crt" if host else None, host / "agent.key" if host else None, self.folder / "ca.crt"
        )
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.post(
                self.url + path, content=msgspec.json.encode(body), extensions={"sni_hostname": SERVER_NAME}
            )

    def enrol(self, folder: Path, port: int = 8251, secret: str | None = None) -> tuple[HostFacts, httpx.Response]:
        folder.mkdir()
        csr = pki.new_request(folder / "agent.key")
        facts = HostFacts(
            uuid=str(uuid.uuid4()),
            name=f"real{port}",
            hypervisor="KVM",
            hypervisor_version="7.2",
            accelerator="tcg",
            cpus=4,
            cpu_mhz=2000,
            cpu_model="a CPU",
            memory_mib=8192,
            isolation=["vxlan"],
            version="1",
        )
        message = EnrolRequest(
            secret=self.token() if secret is None else secret, csr=csr, facts=facts, address="127.0.0.1", port=port
        )
        response = self.post("/agent/enrol", message)
        if response.status_code == 200:
            answer = msgspec.json.decode(response.content, type=EnrolAnswer)
            (folder / "agent.crt").write_text(answer.certificate)
        return facts, response


async def _end(listener: Listener) -> None:
    """Stop the listener and what still waits to write reports."""
    await listener.stop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
def edge(cloud: Cloud, tmp_path: Path) -> Iterator[Edge]:
    made = Edge(cloud, tmp_path / "pki")
    with _serving(made.listener):
        yield made


@contextmanager
def _serving(listener: Listener) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    loop.call_soon_threadsafe(listener.start)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end(listener), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def until(check: Any, limit: float = 5) -> Any:
    end = time.monotonic() + limit
    while not (found := check()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return found


def test_enrolled_agent_becomes_a_host(cloud: Cloud, edge: Edge, tmp_path: Path) -> None:
    at = place(cloud, "KVM")
    assert "enrol" in refused(cloud, "addHost", url="https://127.0.0.1:8251", **at).text
    facts, response = edge.enrol(tmp_path / "a")
    assert response.status_code == 200
    made = cloud.list("addHost", url="https://127.0.0.1:8251", username="root", password="x", **at)[0]
    assert (made["id"], made["state"], made["cpunumber"]) == (facts.uuid, "Up", 4)
    assert made["details"]["accelerator"] == "tcg"
    assert "in the cloud already" in refused(cloud, "addHost", url="https://127.0.0.1:8251", **at).text
    cloud.api("deleteHost", id=facts.uuid, forced=True)
    again = cloud.list("addHost", url=f"https://127.0.0.1/{facts.uuid}", **at)[0]
    assert again["id"] == facts.uuid


def test_token_is_good_for_one_host_and_a_time(cloud: Cloud, edge: Edge, tmp_path: Path) -> None:
    secret = edge.token()
    assert edge.enrol(tmp_path / "a", secret=secret)[1].status_code == 200
    for number, bad in enumerate((secret, edge.token(seconds=-1), "invented")):
        response = edge.enrol(tmp_path / f"b{number}", secret=bad)[1]
        assert "token" in response.json()["error"]
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(agent)).scalar_one() == 1


def test_reports_need_the_hosts_own_certificate(edge: Edge, tmp_path: Path) -> None:
    facts, _ = edge.enrol(tmp_path / "a")
    edge.enrol(tmp_path / "b", 8252)
    message = Report(host=facts.uuid, sequence=1, boot="b1")
    assert edge.post("/agent/report", message).status_code == 401
    assert "another host" in edge.post("/agent/report", message, tmp_path / "b").json()["error"]
    assert edge.post("/agent/report", message, tmp_path / "a").status_code == 200


def test_certificate_is_renewed_for_its_owner(edge: Edge, tmp_path: Path) -> None:
    facts, _ = edge.enrol(tmp_path / "a")
    message = RenewRequest(csr=pki.new_request(tmp_path / "a" / "agent.key"))
    answer = edge.post("/agent/renew", message, tmp_path / "a")
    certificate = msgspec.json.decode(answer.content, type=RenewAnswer).certificate
    assert pki.common_name(certificate) == f"host:{facts.uuid}"
    refusal = edge.post("/agent/renew", RenewRequest(csr="nonsense"), tmp_path / "a")
    assert 400 <= refusal.status_code < 500


def test_report_brings_load_facts_and_state(cloud: Cloud, edge: Edge, tmp_path: Path) -> None:
    at = place(cloud, "KVM")
    facts, _ = edge.enrol(tmp_path / "a")
    cloud.list("addHost", url="https://127.0.0.1:8251", **at)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(state="Alert"))
    more = msgspec.structs.replace(facts, memory_mib=16384)
    message = Report(host=facts.uuid, sequence=1, boot="b1", load=0.5, memory_used_mib=100, facts=more)
    edge.post("/agent/report", message, tmp_path / "a")
    found = until(lambda: cloud.list("listHosts", state="Up"))[0]
    assert (found["cpuloadaverage"], found["memoryused"], found["memorytotal"]) == (0.5, 100 * MIB, 16384 * MIB)
    assert "lastpinged" in found


def test_agents_measure_as_often_as_the_setting_says(cloud: Cloud, edge: Edge, tmp_path: Path) -> None:
    facts, _ = edge.enrol(tmp_path / "a")
    message = Report(host=facts.uuid, sequence=1, boot="b1")

    def told() -> float:
        answer = edge.post("/agent/report", message, tmp_path / "a")
        return msgspec.json.decode(answer.content, type=ReportAnswer).measure

    assert told() == 60
    cloud.api("updateConfiguration", name="host.stats.interval", value="5000")
    cloud.services.settings.reload()
    assert told() == 5


def test_observers_see_reports_and_break_no_others(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    at = place(cloud)
    names = [cloud.list("addHost", url=f"http://sim/c0/h{n}", **at)[0]["id"] for n in range(3)]
    seen: list[str] = []

    def observer(_db: object, row: Any, report: Report) -> None:
        if report.host == names[1]:
            raise ValueError("a broken report")
        seen.append(row.uuid)

    monkeypatch.setattr(reports, "_observers", [observer])
    reports.write(cloud.services, [Report(host=name, sequence=1, boot="b", load=1.5) for name in names])
    assert set(seen) == {names[0], names[2]}
    loads = {found["id"]: found.get("cpuloadaverage") for found in cloud.list("listHosts")}
    assert loads == {names[0]: 1.5, names[1]: 0.0, names[2]: 1.5}


def test_a_report_soon_after_another_takes_nothing_of_it_away(cloud: Cloud) -> None:
    name = cloud.list("addHost", url="http://sim/c0/h0", **place(cloud))[0]["id"]
    first = Report(
        host=name,
        sequence=1,
        boot="b",
        statistics=Statistics(host=HostStatistics(cpu_percent=12.5, received_kib=1, sent_kib=2)),
    )

    async def both() -> None:
        intake = reports.Intake(cloud.services)
        intake.take(first)
        intake.take(Report(host=name, sequence=2, boot="b", load=1.5))
        await intake._task

    asyncio.run(both())
    found = cloud.list("listHosts")[0]
    assert (found["cpuloadaverage"], found["cpuused"]) == (1.5, "12.50%")


def test_values_that_the_database_refuses_break_no_other_report(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    at = place(cloud)
    names = [cloud.list("addHost", url=f"http://sim/c0/h{n}", **at)[0]["id"] for n in range(2)]

    def observer(db: sa.Connection, row: Any, report: Report) -> None:
        if report.host == names[0]:
            db.execute(sa.update(host).where(host.c.id == row.id).values(used_cpu_mhz=-1))

    monkeypatch.setattr(reports, "_observers", [observer])
    reports.write(cloud.services, [Report(host=name, sequence=1, boot="b", load=1.5) for name in names])
    loads = {found["id"]: found.get("cpuloadaverage") for found in cloud.list("listHosts")}
    assert loads == {names[0]: 0.0, names[1]: 1.5}


def test_facts_that_could_not_be_written_are_asked_for_again(
    cloud: Cloud, edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, _ = edge.enrol(tmp_path / "a")
    message = Report(host=facts.uuid, sequence=1, boot="b1")
    more = msgspec.structs.replace(message, facts=msgspec.structs.replace(facts, memory_mib=16384))

    def asked(report: Report) -> bool:
        answer = edge.post("/agent/report", report, tmp_path / "a")
        return msgspec.json.decode(answer.content, type=ReportAnswer).facts

    def fail(*_: Any) -> None:
        raise sa.exc.OperationalError("", {}, Exception("the database is away"))

    with monkeypatch.context() as broken:
        broken.setattr(reports, "write", fail)
        assert not asked(more)
        assert until(lambda: asked(message))
    assert not asked(more)
    # They are kept although the host is not added yet.
    until(lambda: _known_memory(cloud) == 16384)
    assert cloud.list("addHost", url="https://127.0.0.1:8251", **place(cloud, "KVM"))[0]["memorytotal"] == 16384 * MIB


def _known_memory(cloud: Cloud) -> int:
    with cloud.services.database.read() as db:
        return db.execute(sa.select(agent.c.facts)).scalar_one()["memory_mib"]


def test_silent_host_is_alerted_and_comes_back(
    cloud: Cloud, edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = place(cloud, "KVM")
    facts, _ = edge.enrol(tmp_path / "a")
    cloud.list("addHost", url="https://127.0.0.1:8251", **at)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(last_report=database.now() - 31))
    monkeypatch.setattr(reconnecting, "_STARTED", time.monotonic())
    reconnecting.check_silence(cloud.services)
    assert cloud.list("listHosts")[0]["state"] == "Up", "a server that has just started waits for reports first"
    monkeypatch.setattr(reconnecting, "_STARTED", time.monotonic() - 60)
    reconnecting.check_silence(cloud.services)
    found = cloud.list("listHosts")[0]
    assert found["state"] == "Alert"
    assert "disconnected" in found
    alerts = cloud.list("listEvents", type="ALERT.COMPUTE.HOST", listall=True)
    assert "real8251" in alerts[0]["description"]
    assert [(found["type"], found["description"]) for found in cloud.list("listAlerts")] == [
        (7, alerts[0]["description"])
    ]
    edge.post("/agent/report", Report(host=facts.uuid, sequence=9, boot="b"), tmp_path / "a")
    assert "disconnected" not in until(lambda: cloud.list("listHosts", state="Up"))[0]


def test_many_reports_are_cheap(cloud: Cloud) -> None:
    at = place(cloud)
    cloud.list("addHost", url="http://sim/c0/h0", **at)
    with cloud.services.database.write() as db:
        row = db.execute(sa.select(host)).one()._asdict()
        uuids = [str(uuid.uuid4()) for _ in range(2000)]
        copies = [row | {"id": None, "uuid": name, "name": name, "boot": "b"} for name in uuids]
        db.execute(sa.insert(host), [{k: v for k, v in copy.items() if k != "id"} for copy in copies])
    batch = [Report(host=name, sequence=1, boot="b", load=0.1) for name in uuids]
    reports.write(cloud.services, batch)
    began = time.process_time()
    reports.write(cloud.services, batch)
    assert time.process_time() - began < 1.0  # 10,000 hosts every 5 s cost less than one core


def test_users_see_no_hosts(cloud: Cloud) -> None:
    for person in (cloud.user, cloud.domain_admin):
        with pytest.raises(Refused) as caught:
            cloud.api("listHosts", person)
        assert caught.value.code == 401
