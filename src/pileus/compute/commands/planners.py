"""listDeploymentPlanners."""

from __future__ import annotations

from typing import Any

from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.listing import ListCommand, page_of
from pileus.scheduling import planners


@command("listDeploymentPlanners")
class ListDeploymentPlanners(ListCommand):
    """List the planners that choose the hosts of machines."""

    def run(self, call: Call) -> Any:
        """Return their names."""
        names = (name for name in planners.NAMES if not self.keyword or self.keyword.lower() in name.lower())
        return page_of([{"name": name} for name in names], self.page, self.pagesize)
