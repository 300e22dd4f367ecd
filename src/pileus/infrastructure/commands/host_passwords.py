"""updateHostPassword."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.infrastructure.tables import cluster, host


@command("updateHostPassword")
class UpdateHostPassword(Command):
    """Keep a new user name and password of a host, or of a cluster and all its hosts.

    They are stored encrypted for whoever administers the hosts; this cloud speaks to its agents by certificates, so
    nothing changes on the hosts themselves.
    """

    username: str
    password: str
    hostid: Ref | None = None
    clusterid: Ref | None = None

    def check(self) -> None:
        """Check that one of the two is named."""
        if (self.hostid is None) == (self.clusterid is None):
            raise InvalidParameter("one of the parameters hostid and clusterid is needed, not both")

    def run(self, call: Call) -> Success:
        """Store them."""
        values: dict[str, Any] = {"username": self.username, "password": call.services.secrets.encrypt(self.password)}
        if self.hostid is not None:
            database.change(call.db, host, self.hostid.id, **values)
            return Success()
        if self.clusterid is not None:
            database.change(call.db, cluster, self.clusterid.id, **values)
            there = sa.update(host).where(host.c.cluster_id == self.clusterid.id, host.c.removed.is_(None))
            call.db.execute(there.values(**values))
        return Success()
