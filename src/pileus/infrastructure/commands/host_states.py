"""Commands of what a host is fit for: degraded hosts, their tags, reservations on them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.infrastructure import model, workflows
from pileus.infrastructure.computed import ComputedList
from pileus.infrastructure.tables import host

DEGRADED = "Degraded"
_GONE = ("Alert", "Disconnected", "Down")


class _Degrading(Command):
    """Base of the two commands: a guarded change of the resource state, shown by a job."""

    id: Ref

    def _change(self, call: Call, before: tuple[str, ...], after: str) -> Any:
        row = self.id
        if not database.change(call.db, host, row.id, expect={"resource_state": before}, resource_state=after):
            raise InvalidParameter(
                f"parameter id: host {row.name} is {row.resource_state}; it must be {' or '.join(before)} for this"
            )
        call.describe(f"host {row.name}: {row.resource_state} becomes {after}")
        return call.submit(
            workflows.show, key=f"host:{row.id}", instance=("Host", row.uuid), kind="host", row_id=row.id
        )


@command("declareHostAsDegraded", event="HOST.DECLARE.DEGRADED")
class DeclareDegraded(_Degrading):
    """Declare that a host which is not reachable will not come back soon: nothing is placed there."""

    def run(self, call: Call) -> Any:
        """Mark it, unless it is up."""
        if self.id.state not in _GONE:
            raise InvalidParameter(
                f"parameter id: host {self.id.name} is {self.id.state}; only one that is {', '.join(_GONE)} can be "
                "declared degraded"
            )
        return self._change(call, (model.ENABLED, model.DISABLED, model.MAINTENANCE), DEGRADED)


@command("cancelHostAsDegraded", event="HOST.CANCEL.DEGRADED")
class CancelDegraded(_Degrading):
    """Take a degraded host back: it is enabled, and used once it is up."""

    def run(self, call: Call) -> Any:
        """Mark it."""
        return self._change(call, (DEGRADED,), model.ENABLED)


@command("listHostTags")
class ListHostTags(ComputedList):
    """List the tags that hosts have, each once a host."""

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return tags and hosts."""
        tagged = sa.select(host.c.id, host.c.uuid, host.c.tags).where(host.c.removed.is_(None), host.c.tags != "")
        return [
            {"id": f"{row.uuid}/{tag}", "name": tag, "hostid": row.id, "isimplicit": False}
            for row in call.db.execute(tagged.order_by(host.c.id))
            for tag in filter(None, row.tags.split(","))
        ]
