"""Lists with numbers: the ordinary lists' filters and fields, and beside each object what it has and uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.compute.commands.lists import ListVirtualMachines
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.infrastructure.commands.clusters import ListClusters
from pileus.infrastructure.commands.hosts import ListHosts
from pileus.infrastructure.commands.zones import ListZones
from pileus.resources import metrics
from pileus.storage.commands.pools import ListStoragePools
from pileus.storage.commands.volumes import ListVolumes

Things = list[dict[str, Any]]


def _joined(views: Things, numbers: Things) -> Things:
    return [view | more for view, more in zip(views, numbers, strict=True)]


@command("listHostsMetrics")
class ListHostsMetrics(ListHosts):
    """List hosts with their numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return hosts and numbers."""
        return _joined(super().view(call, rows), metrics.hosts(call.db, call.services.settings, rows))


@command("listClustersMetrics")
class ListClustersMetrics(ListClusters):
    """List clusters with the sums of their hosts' numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return clusters and numbers."""
        return _joined(super().view(call, rows), metrics.clusters(call.db, call.services.settings, rows))


@command("listZonesMetrics", ignored=("showicon",))
class ListZonesMetrics(ListZones):
    """List zones with the sums of their hosts' numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return zones and numbers."""
        return _joined(super().view(call, rows), metrics.zones(call.db, call.services.settings, rows))


@command("listStoragePoolsMetrics")
class ListStoragePoolsMetrics(ListStoragePools):
    """List primary storage with its numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return pools and numbers."""
        return _joined(super().view(call, rows), metrics.pools(call.services.settings, rows))


@command("listVirtualMachinesMetrics", ignored=("showicon", "accumulate"))
class ListVirtualMachinesMetrics(ListVirtualMachines):
    """List machines with their numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return machines and numbers."""
        views = super().view(call, rows)
        return _joined(views, metrics.machines(rows, views))


@command("listVolumesMetrics", ignored=("showicon",))
class ListVolumesMetrics(ListVolumes):
    """List volumes with their numbers."""

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> Things:
        """Return volumes and numbers."""
        views = super().view(call, rows)
        return _joined(views, metrics.volumes(rows, views))
