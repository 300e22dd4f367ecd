"""Tables of storage: primary storage, disk offerings, volumes."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.counters import counted
from pileus.core.database import identity, metadata, type_id

storage_pool = sa.Table(
    "storage_pool",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id")),
    sa.Column("cluster_id", type_id, sa.ForeignKey("cluster.id"), index=True),
    sa.Column("host_id", type_id, sa.ForeignKey("host.id"), index=True),  # of a local pool
    sa.Column("scope", sa.String(16), nullable=False),  # HOST CLUSTER ZONE
    sa.Column("kind", sa.String(32), nullable=False),  # driver: directory, simulator ...
    sa.Column("type", sa.String(32), nullable=False),  # as clients know it: Filesystem NetworkFilesystem RBD ...
    sa.Column("hypervisor", sa.String(32)),
    sa.Column("provider", sa.String(64), nullable=False, server_default="DefaultPrimary"),
    sa.Column("url", sa.String(1024), nullable=False),
    sa.Column("server", sa.String(255), nullable=False, server_default=""),
    sa.Column("path", sa.String(1024), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),  # Up Maintenance ... (StoragePoolStatus)
    sa.Column("capacity", sa.BigInteger, nullable=False),  # bytes
    sa.Column("used", sa.BigInteger, nullable=False, server_default="0"),  # bytes really there, as hosts report
    sa.Column("allocated", sa.BigInteger, nullable=False, server_default="0"),  # bytes promised to volumes
    sa.Column("overprovision", sa.Float, nullable=False, server_default="2"),
    sa.Column("capacity_iops", sa.BigInteger),  # None = not known, as many as are asked for
    sa.Column("allocated_iops", sa.BigInteger, nullable=False, server_default="0"),  # promised to volumes
    sa.Column("tags", sa.String(1024), nullable=False, server_default=""),  # ",ssd,fast,"
    sa.Column("tag_rule", sa.String(4096)),  # instead of tags: says which offerings' volumes the pool takes
    sa.Column("access_groups", sa.String(1024), nullable=False, server_default=""),  # none: all hosts within the scope
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
    sa.CheckConstraint("allocated >= 0", name="allocated_not_negative"),
    sa.CheckConstraint("allocated_iops >= 0", name="allocated_iops_not_negative"),
)

disk_offering = sa.Table(
    "disk_offering",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(4096), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes; 0 = custom
    sa.Column("customized", sa.Boolean, nullable=False),
    sa.Column("customized_iops", sa.Boolean),
    sa.Column("min_iops", sa.BigInteger),
    sa.Column("max_iops", sa.BigInteger),
    sa.Column("storage_type", sa.String(16), nullable=False),  # shared local
    sa.Column("provisioning", sa.String(16), nullable=False, server_default="thin"),
    sa.Column("tags", sa.String(1024), nullable=False, server_default=""),
    sa.Column("cache_mode", sa.String(32)),
    sa.Column("rates", sa.JSON, nullable=False, default=dict),  # bytes and IOPS limits by API name
    sa.Column("snapshot_reserve", sa.Integer),  # percent of a volume, on storage that hypervisors make snapshots in
    sa.Column("encrypt", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("strict_size", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("domain_ids", sa.JSON, nullable=False, default=list),  # internal ids; empty = public
    sa.Column("zone_ids", sa.JSON, nullable=False, default=list),
    sa.Column("sort_key", sa.Integer, nullable=False, server_default="0"),  # lists begin with the lowest
    sa.Column("state", sa.String(16), nullable=False, server_default="Active"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

volume = sa.Table(
    "volume",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("pool_id", type_id, sa.ForeignKey("storage_pool.id"), index=True),
    sa.Column("machine_id", type_id, index=True),
    sa.Column("device_id", sa.Integer),  # 0 = root
    sa.Column("type", sa.String(16), nullable=False),  # ROOT DATADISK
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes
    sa.Column("physical_size", sa.BigInteger),
    sa.Column("disk_offering_id", type_id, sa.ForeignKey("disk_offering.id")),
    sa.Column("service_offering_id", type_id),
    sa.Column("min_iops", sa.BigInteger),  # promised by its pool
    sa.Column("max_iops", sa.BigInteger),
    sa.Column("template_id", type_id, sa.ForeignKey("template.id"), index=True),
    sa.Column("format", sa.String(16), nullable=False, server_default="QCOW2"),
    sa.Column("path", sa.String(1024), nullable=False, server_default=""),
    sa.Column("state", sa.String(32), nullable=False),  # Volume state machine of the vocabulary
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("attached", sa.Float),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("destroyed", sa.Float),
    sa.Column("removed", sa.Float),
)
counted(volume)

volume_statistics = sa.Table(  # what its disk did since the machine's start, as the agent measured it last
    "volume_statistics",
    metadata,
    sa.Column(
        "volume_id", type_id, sa.ForeignKey("volume.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("read_kib", type_id, nullable=False),
    sa.Column("written_kib", type_id, nullable=False),
    sa.Column("reads", type_id, nullable=False),
    sa.Column("writes", type_id, nullable=False),
)
