"""Which management servers a host's agent is told of, the one that it should prefer first."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
import structlog

from pileus.core.jobs.membership import Known
from pileus.core.services import Services
from pileus.core.settings import declare
from pileus.infrastructure.tables import host

log = structlog.get_logger(__name__)

STATIC, ROUND_ROBIN, SHUFFLE = "static", "roundrobin", "shuffle"
ALGORITHMS = (STATIC, ROUND_ROBIN, SHUFFLE)


def _checked_addresses(text: str) -> None:
    if len(list(entries(text))) != len([part for part in text.split(",") if part.strip()]):
        raise ValueError("must be addresses or names separated by commas, each with or without a port, or empty")


ADDRESSES = declare(
    "host",
    str,
    "",
    "addresses at which hosts reach the management servers, separated by commas (a load balancer may be among them); "
    "empty: each server's own",
    check=_checked_addresses,
)
ALGORITHM = declare(
    "indirect.agent.lb.algorithm",
    str,
    STATIC,
    "how agents are spread over the management servers: static (all prefer the first), roundrobin or shuffle",
    options=ALGORITHMS,
)
CHECK_INTERVAL = declare(
    "indirect.agent.lb.check.interval",
    int,
    0,
    "seconds after which an agent that is with another management server tries the one that it prefers; 0: never",
    scopes=("global", "cluster"),
    minimum=0,
)

USUAL_PORT = 8250
_KNOWN_SECONDS = 60.0


class Told(msgspec.Struct, frozen=True):
    """What an agent is told: base URLs, and how often to try the first."""

    servers: list[str]
    check: float = 0.0


class AgentServers:
    """Works it out for this server's agents; a host's place is looked up once a minute."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._places: dict[str, tuple[float, int, int]] = {}  # uuid -> until, host, cluster

    def at_once(self, uuid: str) -> Told | None:
        """Return what the host's agent is told where that needs no question to the database, else None."""
        if self._listed() and self._places.get(uuid, (0.0, 0, 0))[0] < time.monotonic():
            return None
        return self.told(uuid)

    def told(self, uuid: str) -> Told:
        """Return what the host's agent is told; nothing while this is the only server and no address is set."""
        engine, settings, listed = self._services.engine, self._services.settings, self._listed()
        if engine is None or not listed:
            return Told([])
        id_, cluster = self._place(uuid)
        check = settings.get(CHECK_INTERVAL, ("cluster", cluster))
        # A server in maintenance may have been told how its agents are to be spread.
        algorithm = (engine.membership.state and engine.membership.algorithm) or settings.get(ALGORITHM)
        return Told(ordered(listed, algorithm, uuid, id_), float(check))

    def _listed(self) -> list[str]:
        engine = self._services.engine
        if engine is None:
            return []
        membership = engine.membership
        return addresses(self._services.settings.get(ADDRESSES), membership.known, membership.agents_url)

    def _place(self, uuid: str) -> tuple[int, int]:
        until, id_, cluster = self._places.get(uuid, (0.0, 0, 0))
        if until < time.monotonic():
            with self._services.database.read() as db:
                statement = sa.select(host.c.id, host.c.cluster_id).where(host.c.uuid == uuid, host.c.removed.is_(None))
                found = db.execute(statement).one_or_none()
            id_, cluster = (found.id, found.cluster_id) if found is not None else (0, 0)
            if found is not None:
                self._places[uuid] = (time.monotonic() + _KNOWN_SECONDS, id_, cluster)
        return id_, cluster


def addresses(setting: str, known: Sequence[Known], own: str) -> list[str]:
    """Return the base URLs that agents may use, in order; empty when there is nothing to tell.

    ``setting``: addresses in order, each with or without a port.  One that is a server's own is left out while that
    server does not work; others (a load balancer's) always count.
    """
    working = [server.url for server in known if server.works]
    if not setting.strip():
        return working if len(known) > 1 else []
    by_address: dict[str, list[Known]] = {}
    for server in known:
        by_address.setdefault(_bare(urlsplit(server.url).hostname or ""), []).append(server)
    found: list[str] = []
    for name, port in entries(setting):
        servers = [server for server in by_address.get(name, []) if port is None or urlsplit(server.url).port == port]
        if not servers:
            usual = urlsplit(own).port or USUAL_PORT
            found.append(f"https://{f'[{name}]' if ':' in name else name}:{port or usual}")
        found += [server.url for server in servers if server.works]
    return list(dict.fromkeys(found)) or working


def entries(setting: str) -> Iterator[tuple[str, int | None]]:
    """Yield address and port of each entry; what is no address is passed over and logged."""
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        bare_ipv6 = entry.count(":") > 1 and "[" not in entry
        try:
            parts = urlsplit(f"//[{entry}]" if bare_ipv6 else f"//{entry}")
            name, port = parts.hostname, parts.port
        except ValueError:
            name, port = None, None
        if name:
            yield _bare(name), port
        else:
            log.warning("the setting host names something that is no address; it is passed over", entry=entry[:100])


def _bare(address: str) -> str:
    """Return an IP address in its usual form, a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def ordered(servers: Sequence[str], algorithm: str, uuid: str, number: int) -> list[str]:
    """Return the servers as one host should prefer them (``number``: its internal id; hosts are counted by it)."""
    if algorithm == ROUND_ROBIN:
        first = number % len(servers)
        return [*servers[first:], *servers[:first]]
    if algorithm == SHUFFLE:  # the same order for the same host, or it would move with every report
        return sorted(servers, key=lambda url: hashlib.blake2b(f"{uuid} {url}".encode(), digest_size=8).digest())
    return list(servers)


def of(services: Services) -> AgentServers:
    """Return this server's."""
    found = services.plugins.get("infrastructure.agent_servers")
    if not isinstance(found, AgentServers):
        found = services.plugins["infrastructure.agent_servers"] = AgentServers(services)
    return found
