"""Tables of infrastructure: zones, physical networks, pods, clusters, hosts, agents."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

zone = sa.Table(
    "zone",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("network_type", sa.String(16), nullable=False),  # Basic Advanced
    sa.Column("dns1", sa.String(64), nullable=False),
    sa.Column("dns2", sa.String(64)),
    sa.Column("internal_dns1", sa.String(64), nullable=False),
    sa.Column("internal_dns2", sa.String(64)),
    sa.Column("ip6_dns1", sa.String(64)),
    sa.Column("ip6_dns2", sa.String(64)),
    sa.Column("guest_cidr", sa.String(64)),
    sa.Column("network_domain", sa.String(255)),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id")),  # dedicated to this domain
    sa.Column("allocation_state", sa.String(16), nullable=False),  # Enabled Disabled
    sa.Column("local_storage", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("security_groups", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("edge", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("token", sa.String(64), nullable=False),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("access_groups", sa.String(1024), nullable=False, server_default=""),  # of storage: ",fast,dmz,"
    sa.Column("sort_key", sa.Integer, nullable=False, server_default="0"),  # lists begin with the lowest
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_zone_live_name",
    zone.c.name,
    unique=True,
    sqlite_where=zone.c.removed.is_(None),
    postgresql_where=zone.c.removed.is_(None),
)

physical_network = sa.Table(
    "physical_network",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("isolation", sa.String(16), nullable=False),  # VLAN VXLAN
    sa.Column("tag_ranges", sa.String(2048), nullable=False, server_default=""),  # "100-200,300-400"
    sa.Column("tags", sa.String(255)),
    sa.Column("speed", sa.String(16)),
    sa.Column("broadcast_range", sa.String(16), nullable=False, server_default="ZONE"),
    sa.Column("state", sa.String(16), nullable=False),  # Enabled Disabled
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

traffic_type = sa.Table(
    "traffic_type",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("physical_network_id", type_id, sa.ForeignKey("physical_network.id"), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),  # Public Guest Management Storage
    sa.Column("kvm_label", sa.String(255)),
    sa.Column("xen_label", sa.String(255)),
    sa.Column("vmware_label", sa.String(255)),
    sa.Column("hyperv_label", sa.String(255)),
    sa.Column("ovm3_label", sa.String(255)),
    sa.Column("vlan", sa.String(32)),
    sa.UniqueConstraint("physical_network_id", "type"),
)

service_provider = sa.Table(
    "service_provider",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("physical_network_id", type_id, sa.ForeignKey("physical_network.id"), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # Enabled Disabled
    sa.UniqueConstraint("physical_network_id", "name"),
)

router_element = sa.Table(
    "router_element",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("provider_id", type_id, sa.ForeignKey("service_provider.id"), nullable=False, unique=True),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.false()),
)

segment_tag = sa.Table(
    "segment_tag",
    metadata,
    identity(),
    sa.Column("physical_network_id", type_id, sa.ForeignKey("physical_network.id"), nullable=False),
    sa.Column("tag", sa.Integer, nullable=False),  # VLAN id or VNI; one owner each
    sa.Column("network_id", type_id, nullable=False, unique=True),
    sa.UniqueConstraint("physical_network_id", "tag"),
)

pod = sa.Table(
    "pod",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("gateway", sa.String(64)),
    sa.Column("netmask", sa.String(64)),
    sa.Column("access_groups", sa.String(1024), nullable=False, server_default=""),  # of storage: ",fast,dmz,"
    sa.Column("allocation_state", sa.String(16), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

management_range = sa.Table(
    "management_range",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id"), nullable=False, index=True),
    sa.Column("gateway", sa.String(64), nullable=False),
    sa.Column("netmask", sa.String(64), nullable=False),
    sa.Column("start_ip", sa.String(64), nullable=False),
    sa.Column("end_ip", sa.String(64), nullable=False),
    sa.Column("vlan", sa.String(32), nullable=False, server_default="untagged"),  # untagged vlan://100
    sa.Column("for_system_vms", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("pod_id", "start_ip"),
)

cluster = sa.Table(
    "cluster",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("hypervisor", sa.String(32), nullable=False),  # KVM Simulator
    sa.Column("cluster_type", sa.String(32), nullable=False, server_default="CloudManaged"),
    sa.Column("allocation_state", sa.String(16), nullable=False),
    sa.Column("managed_state", sa.String(32), nullable=False, server_default="Managed"),
    sa.Column("cpu_overcommit", sa.Float, nullable=False, server_default="1"),
    sa.Column("memory_overcommit", sa.Float, nullable=False, server_default="1"),
    sa.Column("access_groups", sa.String(1024), nullable=False, server_default=""),  # of storage: ",fast,dmz,"
    sa.Column("username", sa.String(255)),
    sa.Column("password", sa.Text),  # encrypted
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

host = sa.Table(
    "host",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id"), nullable=False),
    sa.Column("cluster_id", type_id, sa.ForeignKey("cluster.id"), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("hypervisor", sa.String(32), nullable=False),
    sa.Column("hypervisor_version", sa.String(64)),
    sa.Column("url", sa.String(255), nullable=False, index=True),  # as given to addHost
    sa.Column("address", sa.String(64), nullable=False),  # of the agent; "" for simulated hosts
    sa.Column("port", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tunnel_address", sa.String(64), nullable=False, server_default=""),
    sa.Column("state", sa.String(16), nullable=False),  # Up Down Alert Disconnected Connecting ...
    sa.Column("resource_state", sa.String(32), nullable=False),  # Enabled Disabled Maintenance ...
    sa.Column("cpus", sa.Integer, nullable=False),
    sa.Column("cpu_mhz", sa.Integer, nullable=False),
    sa.Column("memory_mib", type_id, nullable=False),
    # Capacity that machines hold: taken and given back in the transaction that places them.
    sa.Column("used_cpu_mhz", type_id, nullable=False, server_default="0"),
    sa.Column("used_memory_mib", type_id, nullable=False, server_default="0"),
    sa.Column("accelerator", sa.String(16), nullable=False, server_default=""),
    sa.Column(
        "limits_cpu", sa.Boolean, nullable=False, server_default=sa.false()
    ),  # it can keep machines below their MHz
    sa.Column("tags", sa.String(1024), nullable=False, server_default=""),  # ",ssd,gpu,": comma before and after each
    sa.Column("tag_rule", sa.String(4096)),  # instead of tags: says which offerings' machines the host takes
    sa.Column("access_groups", sa.String(1024), nullable=False, server_default=""),  # of storage: ",fast,dmz,"
    sa.Column("os_category_id", type_id),  # the images slice's: whose guests this host is preferred for
    sa.Column("username", sa.String(255)),
    sa.Column("password", sa.Text),  # encrypted
    sa.Column("facts", sa.JSON, nullable=False, default=dict),
    sa.Column("boot", sa.String(64), nullable=False, server_default=""),
    sa.Column("load", sa.Float),  # average over a minute, as the agent reports it
    sa.Column("really_used_memory_mib", type_id),  # as the agent reports it
    sa.Column("cpu_percent", sa.Float),  # busy when the agent measured last
    sa.Column("received_kib", type_id),  # by its physical interfaces, since its start
    sa.Column("sent_kib", type_id),
    sa.Column("last_report", sa.Float),
    sa.Column("disconnected", sa.Float),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
    sa.CheckConstraint("used_cpu_mhz >= 0", name="cpu_not_negative"),
    sa.CheckConstraint("used_memory_mib >= 0", name="memory_not_negative"),
)

dedication = sa.Table(
    "dedication",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    # One of these: what is set aside.
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), unique=True),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id"), unique=True),
    sa.Column("cluster_id", type_id, sa.ForeignKey("cluster.id"), unique=True),
    sa.Column("host_id", type_id, sa.ForeignKey("host.id"), unique=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id")),  # null: all accounts of the domain and below
    sa.Column("created", sa.Float, nullable=False),
)

agent = sa.Table(
    "agent",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),  # the agent's own; the host row takes it over
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("serial", sa.String(64), nullable=False),  # of its certificate
    sa.Column("facts", sa.JSON, nullable=False, default=dict),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("last_report", sa.Float),
)

enrolment_token = sa.Table(
    "enrolment_token",
    metadata,
    identity(),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),  # SHA-256
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("used", sa.Float),  # one time only
)

region = sa.Table(
    "region",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # chosen by whoever adds it
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("endpoint", sa.String(255), nullable=False),
)

hypervisor_limit = sa.Table(
    "hypervisor_limit",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("hypervisor", sa.String(32), nullable=False, unique=True),
    sa.Column("data_volumes", sa.Integer),  # of a machine; null = as many as this server can attach
    sa.Column("hosts_per_cluster", sa.Integer),  # null = any number
    sa.Column("guests", sa.BigInteger),  # machines on one host; null = any number
)
