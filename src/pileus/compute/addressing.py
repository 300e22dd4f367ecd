"""Where hosts reach this server."""

from __future__ import annotations

import socket
from functools import lru_cache

from sqlalchemy import Connection

from pileus.core import database, services
from pileus.infrastructure import agent_servers
from pileus.infrastructure.tables import host

_DISCARD = 9


def images(db: Connection, host_id: int) -> str:
    """Return where a host fetches images from: https://ADDRESS:PORT of this server's listener for agents.

    The address is the one that the setting host names, where it names only one; else this server's own, as told by
    its option or found by the route to the host.
    """
    of = services.of(db)
    options = of.plugins["options"]
    row = database.one(db, host, host_id)
    named = list(agent_servers.entries(of.settings.get(agent_servers.ADDRESSES)))
    if len(named) == 1:
        address, port = named[0]
    else:
        address, port = options.agent_address or (own_address(row.address) if row.address else "127.0.0.1"), None
    return f"https://{f'[{address}]' if ':' in address else address}:{port or options.agents_port}"


@lru_cache(maxsize=4096)
def own_address(target: str) -> str:
    """Return the local address from which packets to a target leave (no packet is sent)."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, _DISCARD))
        except OSError:
            return "127.0.0.1"  # no route: the host cannot be reached either, and its operations say so
        return str(probe.getsockname()[0])
