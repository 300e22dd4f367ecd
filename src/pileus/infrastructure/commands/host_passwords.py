"""updateHostPassword."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import jobs, waiting
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.infrastructure import host_passwords
from pileus.infrastructure.tables import host


@command("updateHostPassword")
class UpdateHostPassword(Command):
    """Keep a new user name and password of a host, or of a cluster and all its hosts.

    They are stored encrypted for whoever administers the hosts; this cloud speaks to its agents by certificates.  With
    update_passwd_on_host=true the agents also give the hosts' user of that name this password.
    """

    username: str
    password: str
    hostid: Ref | None = None
    clusterid: Ref | None = None
    update_passwd_on_host: bool = False

    def check(self) -> None:
        """Check that one of the two is named."""
        if (self.hostid is None) == (self.clusterid is None):
            raise InvalidParameter("one of the parameters hostid and clusterid is needed, not both")

    def run(self, call: Call) -> Success:
        """Store them, or let the job change them on the hosts first."""
        self._job: int | None = None
        hosts = [self.hostid] if self.hostid is not None else self._of_cluster(call)
        sealed = call.services.secrets.encrypt(self.password)
        of_cluster = None if self.clusterid is None else self.clusterid.id
        if self.update_passwd_on_host:
            self._job = self._submit(call, hosts, sealed, of_cluster)
        else:
            host_passwords.keep(call.db, [row.id for row in hosts], self.username, sealed, of_cluster=of_cluster)
        return Success()

    def _of_cluster(self, call: Call) -> list[Row[Any]]:
        if self.clusterid is None:
            return []
        there = sa.select(host).where(host.c.cluster_id == self.clusterid.id, host.c.removed.is_(None))
        return list(call.db.execute(there.order_by(host.c.id)).all())

    def _submit(self, call: Call, hosts: list[Row[Any]], sealed: str, of_cluster: int | None) -> int:
        down = [row.name for row in hosts if row.state != "Up"]
        if down:
            raise InvalidParameter(
                f"parameter update_passwd_on_host: {', '.join(down[:3])} cannot be reached at the moment; nothing was "
                "changed"
            )
        named = self.hostid if self.hostid is not None else self.clusterid
        return jobs.submit(
            call.db,
            host_passwords.change,
            key=None,
            arguments={
                "hosts": [row.id for row in hosts],
                "username": self.username,
                "encrypted": sealed,
                "of_cluster": of_cluster,
            },
            cmd=self.spec.name,
            user_id=call.caller.user_id,
            account_id=call.caller.account_id,
            domain_id=call.caller.domain_id,
            role=call.caller.role,
            admin=call.caller.admin,
            instance_type="Host" if self.hostid is not None else "Cluster",
            instance_uuid="" if named is None else named.uuid,
            request=call.request,
        ).id

    def finishup(self, services: Any, result: Any) -> Any:
        """Wait for the hosts."""
        if self._job is not None:
            waiting.wait(services, self._job)
        return result
