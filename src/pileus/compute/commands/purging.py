"""purgeExpungedResources."""

from __future__ import annotations

from typing import Any

from pileus.compute import purge_settings, purging
from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Date

MOST_AT_ONCE = 10_000


@command("purgeExpungedResources", event="PURGE.EXPUNGED.RESOURCES")
class PurgeExpungedResources(Command):
    """Delete the records of machines that were expunged between two dates, with those of their volumes and NICs."""

    resourcetype: str | None = None
    batchsize: int | None = None
    startdate: Date | None = None
    enddate: Date | None = None

    def check(self) -> None:
        """Check the type, the dates and the size."""
        if self.resourcetype is not None and self.resourcetype.lower() != purging.MACHINES.lower():
            raise InvalidParameter(f"parameter resourcetype must be one of {', '.join(purging.RESOURCES)}")
        if self.batchsize is not None and not 1 <= self.batchsize <= MOST_AT_ONCE:
            raise InvalidParameter(f"parameter batchsize must be between 1 and {MOST_AT_ONCE}")
        if self.startdate is not None and self.enddate is not None and self.startdate > self.enddate:
            raise InvalidParameter("parameter startdate is after enddate")

    def run(self, call: Call) -> Any:
        """Start the job."""
        batch = self.batchsize or call.services.settings.get(purge_settings.BATCH)
        call.describe("purged the records of expunged resources")
        until = self.enddate if self.enddate is not None else database.now()
        return call.submit(purging.purge, key="resources.purge", since=self.startdate, until=until, batch=batch)
