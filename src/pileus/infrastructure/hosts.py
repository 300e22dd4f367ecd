"""Making hosts: real ones from the agent that enrolled, simulated ones from nothing but their URL."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import is_uuid
from pileus.core.settings import declare
from pileus.infrastructure import model
from pileus.infrastructure.tables import agent, host
from pileus.wire.hosts import HostFacts

PING_INTERVAL = declare("ping.interval", int, 12, "seconds within which an agent should report", minimum=1)
PING_TIMEOUT = declare(
    "ping.timeout", float, 2.5, "how many ping intervals a host may be silent before it counts as lost", minimum=1
)

SIMULATED_CPUS, SIMULATED_MHZ, SIMULATED_MEMORY_MIB = 128, 2500, 2 * 1024 * 1024
SIMULATED_SOCKETS = 2

Removal = Callable[[Connection, Row[Any]], None]
_removals: list[Removal] = []
_keepers: list[Removal] = []
_annotators: list[Callable[[Call, Row[Any], str], None]] = []


class Found(msgspec.Struct, frozen=True):
    """A host as found: what goes into its row beside its place."""

    uuid: str
    name: str
    address: str
    port: int
    facts: HostFacts
    state: str
    last_report: float | None


def on_forced_removal(function: Removal) -> None:
    """Register what happens to things on a host that is removed by force (they are no longer there)."""
    _removals.append(function)


def on_storage_given_up(function: Removal) -> None:
    """Register who lets go of what lies on a host's own storage when that goes with the host."""
    _keepers[:] = [function]


def give_storage_up(db: Connection, row: Row[Any]) -> None:
    """Destroy what lies on a host's own storage."""
    for function in _keepers:
        function(db, row)


def on_annotation(function: Callable[[Call, Row[Any], str], None]) -> None:
    """Register who keeps notes on hosts."""
    _annotators[:] = [function]


def annotate(call: Call, row: Row[Any], text: str) -> None:
    """Leave a note on a host."""
    for function in _annotators:
        function(call, row, text)


def let_go(db: Connection, row: Row[Any]) -> None:
    """Tell every slice that a host is being removed by force."""
    for function in _removals:
        function(db, row)


def parse_url(url: str) -> SplitResult:
    """Return the parts of a host's URL; a bare address counts as http://ADDRESS."""
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidParameter(f"parameter url is not a URL: {url[:100]!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidParameter(f"parameter url must look like https://ADDRESS:PORT, not {url[:100]!r}")
    return parts


def find_agent(db: Connection, url: str, silence: float) -> Found:
    """Return the enrolled agent that a URL names: by address (and port), or by its uuid as the URL's path."""
    parts = parse_url(url)
    path = parts.path.strip("/")
    if is_uuid(path):
        rows = db.execute(sa.select(agent).where(agent.c.uuid == path.lower())).all()
    else:
        statement = sa.select(agent).where(agent.c.address == _plain_address(parts.hostname or ""))
        if parts.port is not None:
            statement = statement.where(agent.c.port == parts.port)
        rows = db.execute(statement.order_by(agent.c.id)).all()
    if not rows:
        raise InvalidParameter(
            f"parameter url: no agent at {parts.netloc} has enrolled with this cloud; run `pileus agent enrol` on the "
            "host first, or name the agent by its uuid: https://ADDRESS:PORT/UUID"
        )
    if len(rows) > 1:
        choice = ", ".join(row.uuid for row in rows)
        raise InvalidParameter(
            f"parameter url: several agents enrolled from there ({choice}); add the uuid as the path"
        )
    row = rows[0]
    facts = msgspec.convert(row.facts, HostFacts)
    heard = max(row.last_report or 0, row.created)
    state = "Up" if heard > database.now() - silence else "Disconnected"
    return Found(row.uuid, facts.name, row.address, row.port, facts, state, row.last_report)


def _plain_address(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def simulated(url: str) -> Found:
    """Return a large simulated host: 128 cores of 2,500 MHz, 2 TiB."""
    parts = parse_url(url)
    name = parts.path.strip("/").replace("/", "-") or parts.hostname or ""
    uuid = database.new_uuid()
    facts = HostFacts(
        uuid=uuid,
        name=name,
        hypervisor=model.SIMULATOR,
        hypervisor_version="1",
        accelerator="simulator",
        cpus=SIMULATED_CPUS,
        cpu_mhz=SIMULATED_MHZ,
        cpu_model="simulated",
        memory_mib=SIMULATED_MEMORY_MIB,
        cpu_sockets=SIMULATED_SOCKETS,
        version="1",
        limits_cpu=True,
        isolation=["vlan", "vxlan"],
    )
    return Found(uuid, name, _simulated_address(parts.hostname or "", uuid), 0, facts, "Up", None)


def _simulated_address(name: str, uuid: str) -> str:
    """Return the address that a simulated host says it has: its URL's, else one out of 172.16.0.0/12."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return str(ipaddress.IPv4Address("172.16.0.0") + int(uuid[:5], 16))


def store(
    db: Connection, cluster: Row[Any], url: str, found: Found, *, tags: str, resource_state: str, groups: str = ""
) -> Row[Any]:
    """Insert the host, or bring back the row of one that was removed, and return it."""
    facts = found.facts
    values: dict[str, Any] = {
        "zone_id": cluster.zone_id,
        "pod_id": cluster.pod_id,
        "cluster_id": cluster.id,
        "name": found.name,
        "hypervisor": cluster.hypervisor,
        "url": url,
        "address": found.address,
        "port": found.port,
        "state": found.state if cluster.managed_state == "Managed" else "Disconnected",
        "resource_state": resource_state,
        "tags": tags,
        "tag_rule": None,
        "access_groups": groups,
        "os_category_id": None,
        "username": None,
        "password": None,
        "last_report": found.last_report,
        "disconnected": None,
        "created": database.now(),
        "removed": None,
        **columns_of(facts),
    }
    former = db.execute(sa.select(host).where(host.c.uuid == found.uuid)).one_or_none()
    if former is None:
        return database.one(db, host, database.insert(db, host, uuid=found.uuid, **values))
    if former.removed is None:
        raise InvalidParameter(f"parameter url: this host is in the cloud already, as {former.name}")
    database.change(db, host, former.id, used_cpu_mhz=0, used_memory_mib=0, **values)
    return database.one(db, host, former.id)


def columns_of(facts: HostFacts) -> dict[str, Any]:
    """Return the columns of a host that its facts fill."""
    return {
        "hypervisor_version": facts.hypervisor_version,
        "tunnel_address": facts.tunnel_address,
        "cpus": facts.cpus,
        "cpu_mhz": facts.cpu_mhz,
        "memory_mib": facts.memory_mib,
        "accelerator": facts.accelerator,
        "limits_cpu": facts.limits_cpu,
        "facts": msgspec.to_builtins(facts),
    }
