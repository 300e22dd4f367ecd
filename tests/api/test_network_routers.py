"""Routers: started, stopped, rebooted, destroyed; and what reports of hosts and the periodic check do for them."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from pileus.core.jobs.tables import convergence
from pileus.drivers.simulator.tables import sim_object
from pileus.infrastructure.tables import host
from pileus.network import upkeep
from pileus.network.tables import router
from pileus.wire.hosts import Report, RouterState
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone


class Site:
    """A network with a running router."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.zone = simulated_zone(cloud, hosts=2)
        self.network = isolated_network(cloud, self.zone, "n1")
        self.machine = machine(cloud, self.zone, self.network, "m1")

    def router(self) -> dict[str, Any]:
        """Return the router."""
        (found,) = self.cloud.list("listRouters", listall=True)
        return found

    def held(self) -> dict[str, dict[str, Any]]:
        """Return the routers of the simulated hosts by key."""
        with self.cloud.services.database.read() as db:
            rows = db.execute(sa.select(sim_object).where(sim_object.c.sort == "router")).all()
        return {row.key: msgspec.json.decode(row.value) for row in rows}

    def report(self, *states: RouterState, by: str = "") -> None:
        """Let a host (default: the router's) report routers."""
        with self.cloud.services.database.write() as db:
            wanted = host.c.uuid == (by or self.router()["hostid"])
            row = db.execute(sa.select(host).where(wanted)).one()
            upkeep.observe(db, row, Report(host=row.uuid, sequence=1, boot="b", routers=list(states)))

    def wishes(self) -> int:
        """Return how often the router's state was asked for."""
        with self.cloud.services.database.read() as db:
            return db.execute(sa.select(convergence.c.desired).where(convergence.c.kind == "router")).scalar_one()


@pytest.fixture
def site(cloud: Cloud) -> Site:
    return Site(cloud)


def test_router_is_shown_with_its_legs(site: Site) -> None:
    found = site.router()
    assert (found["role"], found["state"], found["name"]) == ("VIRTUAL_ROUTER", "Running", "r-1-VM")
    assert [each["traffictype"] for each in found["nic"]] == ["Guest", "Public"]
    assert found["guestnetworkid"] == site.network
    assert site.cloud.list("listRouters", id=found["id"], hostid=found["hostid"], state="running", listall=True)
    assert site.cloud.list("listRouters", state="Stopped", listall=True) == []
    assert site.cloud.list("listRouters", forvpc=True, listall=True) == []
    assert site.cloud.list("listRouters", id="nonsense", listall=True) == []
    with pytest.raises(Refused) as caught:
        site.cloud.api("listRouters", site.cloud.user)
    assert caught.value.code in (401, 432)


def test_stop_start_reboot(site: Site) -> None:
    id_ = site.router()["id"]
    assert site.cloud.job("stopRouter", id=id_)["state"] == "Stopped"
    assert [each["running"] for each in site.held().values()] == [False]
    with pytest.raises(Refused) as caught:
        site.cloud.job("rebootRouter", id=id_)
    assert caught.value.code == 534
    assert site.cloud.job("stopRouter", id=id_)["state"] == "Stopped"
    assert site.cloud.job("startRouter", id=id_)["state"] == "Running"
    assert site.cloud.job("startRouter", id=id_)["state"] == "Running"
    assert site.cloud.job("rebootRouter", id=id_)["state"] == "Running"
    assert [each["running"] for each in site.held().values()] == [True]
    assert site.router()["id"] == id_


def test_router_that_cannot_be_stopped_goes_on(site: Site) -> None:
    fault = site.cloud.config.fail("router.stop", message="busy")
    with pytest.raises(Refused, match="busy"):
        site.cloud.job("stopRouter", id=site.router()["id"])
    assert site.router()["state"] == "Running"
    site.cloud.config.remove(fault)
    assert site.cloud.job("stopRouter", id=site.router()["id"])["state"] == "Stopped"


def test_router_that_cannot_start_stays_stopped(site: Site) -> None:
    id_ = site.router()["id"]
    site.cloud.job("stopRouter", id=id_)
    fault = site.cloud.config.fail("router.apply", message="no memory")
    with pytest.raises(Refused, match="no memory"):
        site.cloud.job("startRouter", id=id_)
    assert site.router()["state"] == "Stopped"
    site.cloud.config.remove(fault)
    assert site.cloud.job("startRouter", id=id_)["state"] == "Running"


def test_destroyed_router_comes_back_with_the_next_machine(site: Site) -> None:
    before = site.router()["id"]
    site.cloud.job("destroyRouter", id=before)
    assert site.held() == {}
    assert site.cloud.list("listRouters", listall=True) == []
    assert site.cloud.list("listNetworks")[0]["restartrequired"] is True
    machine(site.cloud, site.zone, site.network, "m2")
    assert site.router()["state"] == "Running"
    assert site.router()["id"] != before
    assert site.cloud.list("listNetworks")[0]["restartrequired"] is False


def test_stopped_router_starts_elsewhere_when_its_host_is_down(site: Site) -> None:
    found = site.router()
    site.cloud.job("stopRouter", id=found["id"])
    with site.cloud.services.database.write() as db:
        db.execute(sa.update(host).where(host.c.uuid == found["hostid"]).values(state="Down"))
    started = site.cloud.job("startRouter", id=found["id"])
    assert started["state"] == "Running"
    assert started["hostid"] != found["hostid"]


def test_router_whose_host_is_removed_while_it_goes_is_gone(site: Site) -> None:
    found = site.router()
    site.cloud.config.delay("router.destroy", seconds=1)
    job = site.cloud.api("destroyRouter", id=found["id"])["jobid"]
    until(lambda: site.router()["state"] == "Expunging", 5)
    site.cloud.api("deleteHost", id=found["hostid"], forced=True)
    site.cloud.wait("destroyRouter", job)
    assert site.cloud.list("listRouters", listall=True) == []
    machine(site.cloud, site.zone, site.network, "m2")
    assert (site.router()["id"] != found["id"], site.router()["state"]) == (True, "Running")


def test_missing_router_is_made_again_after_a_report(site: Site) -> None:
    found, before = site.router(), site.wishes()
    state = RouterState(name=found["name"], uuid=found["id"], generation=1, running=True)
    site.report(state)
    assert site.wishes() == before, "all is well"
    with site.cloud.services.database.write() as db:
        db.execute(sa.delete(sim_object).where(sim_object.c.sort == "router"))
    site.report()
    until(lambda: len(site.held()) == 1, 5, "it was missing")
    site.report(msgspec.structs.replace(state, running=False))
    until(lambda: site.wishes() == before + 2, 5, "it did not run")


def test_stray_router_is_removed_after_a_report(site: Site) -> None:
    found = site.router()
    elsewhere = next(each["id"] for each in site.cloud.list("listHosts") if each["id"] != found["hostid"])
    with site.cloud.services.database.write() as db:
        (known,) = db.execute(sa.select(sim_object).where(sim_object.c.sort == "router")).all()
        number = db.execute(sa.select(host.c.id).where(host.c.uuid == elsewhere)).scalar_one()
        key = known.key.replace(f"router:{known.host}/", f"router:{number}/")
        db.execute(sa.insert(sim_object).values(key=key, sort="router", host=number, value=known.value))
    state = RouterState(name=found["name"], uuid=found["id"], generation=1, running=True)
    site.report(state, by=elsewhere)
    site.report(state, by=elsewhere)
    until(lambda: len(site.held()) == 1, 5, "only the host's own is left")
    assert site.router()["state"] == "Running"
    until(lambda: list(site.held()) == [known.key], 5)


def test_given_up_state_is_tried_again_by_the_check(site: Site) -> None:
    fault = site.cloud.config.fail("router.apply")
    with site.cloud.services.database.write() as db:
        from pileus.network import routers

        id_ = db.execute(sa.select(router.c.network_id)).scalar_one()
        routers.want(db, id_)

    def behind() -> bool:
        with site.cloud.services.database.read() as db:
            row = db.execute(sa.select(convergence).where(convergence.c.kind == "router")).one()
        return row.applied < row.desired and row.next_try is None and row.in_flight is None

    until(behind, 5)
    site.cloud.config.remove(fault)
    time.sleep(0.1)
    assert behind()
    upkeep.check(site.cloud.services)
    until(lambda: not behind(), 5)


def test_routers_of_others_are_not_theirs(site: Site) -> None:
    for command in ("startRouter", "stopRouter", "rebootRouter", "destroyRouter"):
        with pytest.raises(Refused) as caught:
            site.cloud.api(command, site.cloud.domain_admin, id=site.router()["id"])
        assert caught.value.code == 531, command
    assert site.cloud.list("listRouters", site.cloud.domain_admin, listall=True) == []
