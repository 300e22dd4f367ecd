"""Tables of compute: service offerings and machines."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.counters import counted
from pileus.core.database import identity, metadata, type_id

service_offering = sa.Table(
    "service_offering",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(4096), nullable=False),
    sa.Column("cpus", sa.Integer),  # None = chosen at deployment
    sa.Column("cpu_mhz", sa.Integer),
    sa.Column("memory_mib", sa.Integer),
    sa.Column("customized", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("limits", sa.JSON, nullable=False, default=dict),  # mincpunumber maxcpunumber minmemory maxmemory
    sa.Column("storage_type", sa.String(16), nullable=False),  # shared local
    sa.Column("provisioning", sa.String(16), nullable=False, server_default="thin"),
    sa.Column("root_disk_size", sa.BigInteger),  # bytes; None = the template's
    sa.Column("storage_tags", sa.String(1024), nullable=False, server_default=""),
    sa.Column("host_tags", sa.String(1024), nullable=False, server_default=""),
    sa.Column("network_rate", sa.Integer),
    sa.Column("offer_ha", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("limit_cpu", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_volatile", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("purge", sa.Boolean, nullable=False, server_default=sa.false()),  # no record is left of its machines
    sa.Column("dynamic_scaling", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("is_system", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("system_vm_type", sa.String(32)),
    sa.Column("default_use", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("rates", sa.JSON, nullable=False, default=dict),
    sa.Column("cache_mode", sa.String(32)),
    sa.Column("customized_iops", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("min_iops", sa.BigInteger),
    sa.Column("max_iops", sa.BigInteger),
    sa.Column("snapshot_reserve", sa.Integer),
    sa.Column("disk_offering_id", type_id, sa.ForeignKey("disk_offering.id")),  # of root disks; None = as said here
    sa.Column("strict_disk_offering", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("planner", sa.String(64)),  # None = the setting's
    sa.Column("lease_days", sa.Integer),
    sa.Column("lease_action", sa.String(16)),  # STOP DESTROY
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("domain_ids", sa.JSON, nullable=False, default=list),
    sa.Column("zone_ids", sa.JSON, nullable=False, default=list),
    sa.Column("sort_key", sa.Integer, nullable=False, server_default="0"),  # lists begin with the lowest
    sa.Column("state", sa.String(16), nullable=False, server_default="Active"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

machine = sa.Table(
    "machine",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),  # host name
    sa.Column("display_name", sa.String(255)),
    sa.Column("instance_name", sa.String(64), nullable=False),  # i-2-12-VM, the hypervisor's name
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False, index=True),
    sa.Column("user_id", type_id, nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id")),
    sa.Column("cluster_id", type_id, sa.ForeignKey("cluster.id")),
    sa.Column("host_id", type_id, sa.ForeignKey("host.id"), index=True),
    sa.Column("last_host_id", type_id, sa.ForeignKey("host.id")),
    sa.Column("template_id", type_id, sa.ForeignKey("template.id"), index=True),
    sa.Column("service_offering_id", type_id, sa.ForeignKey("service_offering.id"), nullable=False, index=True),
    sa.Column("os_type_id", type_id),
    sa.Column("cpus", sa.Integer, nullable=False),
    sa.Column("cpu_mhz", sa.Integer, nullable=False),
    sa.Column("memory_mib", sa.Integer, nullable=False),
    sa.Column("hypervisor", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # VirtualMachine state machine of the vocabulary
    sa.Column("power_state", sa.String(16), nullable=False, server_default="PowerUnknown"),
    sa.Column("power_seen", sa.Float),
    sa.Column("user_data", sa.Text),  # base64
    sa.Column("user_data_id", type_id, index=True),  # of the catalogue
    sa.Column("user_data_details", sa.JSON(none_as_null=True)),  # values of its variables
    sa.Column("public_keys", sa.JSON, nullable=False, default=list),
    sa.Column("key_pairs", sa.String(1024)),
    sa.Column("password", sa.Text),  # encrypted; until the guest has fetched it
    sa.Column("password_id", sa.String(36)),
    sa.Column("vnc_password", sa.Text),  # encrypted
    sa.Column("vnc_port", sa.Integer),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("ha_enabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("dynamic_scaling", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("group_name", sa.String(255)),
    sa.Column("delete_protection", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("lease_until", sa.Float),
    sa.Column("lease_action", sa.String(16)),  # STOP DESTROY
    sa.Column("lease_state", sa.String(16)),  # PENDING DONE CANCELLED DISABLED
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float),
    sa.Column("destroyed", sa.Float),
    sa.Column("removed", sa.Float),
)
sa.Index("ix_machine_lower_name", sa.func.lower(machine.c.name))
sa.Index(
    "ix_machine_expunge",
    machine.c.destroyed,
    sqlite_where=sa.and_(machine.c.destroyed.is_not(None), machine.c.removed.is_(None)),
    postgresql_where=sa.and_(machine.c.destroyed.is_not(None), machine.c.removed.is_(None)),
)
sa.Index(
    "ix_machine_lease",
    machine.c.lease_until,
    sqlite_where=machine.c.lease_state == "PENDING",
    postgresql_where=machine.c.lease_state == "PENDING",
)
counted(machine)

machine_statistics = sa.Table(  # what it uses, as the agent measured it last; counters are since its start
    "machine_statistics",
    metadata,
    sa.Column(
        "machine_id", type_id, sa.ForeignKey("machine.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("cpu_percent", sa.Float),
    sa.Column("memory_kib", type_id, nullable=False),
    sa.Column("free_kib", type_id),
    sa.Column("received_kib", type_id, nullable=False),
    sa.Column("sent_kib", type_id, nullable=False),
    sa.Column("read_kib", type_id, nullable=False),
    sa.Column("written_kib", type_id, nullable=False),
    sa.Column("reads", type_id, nullable=False),
    sa.Column("writes", type_id, nullable=False),
)
