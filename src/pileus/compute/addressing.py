"""Where hosts reach this server."""

from __future__ import annotations

import socket
from functools import lru_cache

from sqlalchemy import Connection

from pileus.core import database, services
from pileus.core.settings import declare
from pileus.infrastructure.tables import host

SERVER = declare("host", str, "", "address at which hosts reach the management servers; empty = found by the routes")
_DISCARD = 9


def images(db: Connection, host_id: int) -> str:
    """Return where a host fetches images from: https://ADDRESS:PORT of the agents' listener."""
    of = services.of(db)
    options = of.plugins["options"]
    row = database.one(db, host, host_id)
    address = of.settings.get(SERVER) or (own_address(row.address) if row.address else "127.0.0.1")
    return f"https://{f'[{address}]' if ':' in address else address}:{options.agents_port}"


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
