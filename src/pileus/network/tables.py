"""Tables of networks: offerings, networks, NICs, public addresses, rules, routers."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

network_offering = sa.Table(
    "network_offering",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(4096), nullable=False),
    sa.Column("traffic_type", sa.String(16), nullable=False),  # Guest
    sa.Column("guest_type", sa.String(16), nullable=False),  # Isolated Shared L2
    sa.Column("availability", sa.String(16), nullable=False),  # Required Optional Unavailable
    sa.Column("state", sa.String(16), nullable=False),  # Enabled Disabled Inactive
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("specify_vlan", sa.Boolean, nullable=False),
    sa.Column("specify_ip_ranges", sa.Boolean, nullable=False),
    sa.Column("conserve_mode", sa.Boolean, nullable=False),
    sa.Column("persistent", sa.Boolean, nullable=False),
    sa.Column("egress_default", sa.Boolean, nullable=False),  # True = allow
    sa.Column("for_vpc", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("max_connections", sa.Integer),
    sa.Column("network_rate", sa.Integer),  # Mbit/s
    sa.Column("tags", sa.String(1024), nullable=False, server_default=""),
    sa.Column("services", sa.JSON, nullable=False),  # {"Dhcp": ["VirtualRouter"], ...}
    sa.Column("capabilities", sa.JSON, nullable=False, default=dict),  # {"SourceNat": {"RedundantRouter": "false"}}
    sa.Column("service_offering_id", type_id),
    sa.Column("domain_ids", sa.JSON, nullable=False, default=list),
    sa.Column("zone_ids", sa.JSON, nullable=False, default=list),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("sort_key", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_network_offering_live_name",
    network_offering.c.name,
    unique=True,
    sqlite_where=network_offering.c.removed.is_(None),
    postgresql_where=network_offering.c.removed.is_(None),
)

network = sa.Table(
    "network",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(4096), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("physical_network_id", type_id, sa.ForeignKey("physical_network.id"), nullable=False),
    sa.Column("offering_id", type_id, sa.ForeignKey("network_offering.id"), nullable=False),
    sa.Column("guest_type", sa.String(16), nullable=False),
    sa.Column("acl_type", sa.String(16), nullable=False, server_default="Account"),  # Account Domain
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("gateway", sa.String(64), nullable=False),
    sa.Column("netmask", sa.String(64), nullable=False),
    sa.Column("network_domain", sa.String(255), nullable=False, server_default=""),
    sa.Column("dns1", sa.String(64)),
    sa.Column("dns2", sa.String(64)),
    sa.Column("isolation", sa.String(16), nullable=False),  # VLAN VXLAN
    sa.Column("tag", sa.Integer),  # VLAN id or VNI once implemented
    sa.Column("state", sa.String(32), nullable=False),  # Allocated Setup Implementing Implemented Shutdown Destroy
    sa.Column("restart_required", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("private_mtu", sa.Integer),
    sa.Column("public_mtu", sa.Integer),
    sa.Column("guest_cidr", sa.String(64)),  # the part of cidr for machines; None = all of it
    sa.Column("start_address", sa.String(64)),  # of what machines get, when it was chosen
    sa.Column("end_address", sa.String(64)),
    sa.Column("next_mac", type_id, nullable=False, server_default="0"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

network_permission = sa.Table(  # accounts (of projects too) whose machines may be in a network beside its owner's
    "network_permission",
    metadata,
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), primary_key=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), primary_key=True, index=True),
)

nic = sa.Table(
    "nic",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), nullable=False),
    sa.Column("machine_id", type_id, index=True),
    sa.Column("router_id", type_id, index=True),
    sa.Column("mac", sa.String(17), nullable=False),
    sa.Column("address", sa.String(64)),
    sa.Column("device_id", sa.Integer, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("dhcp_options", sa.JSON(none_as_null=True)),  # {"114": "https://..."}, beside what every NIC gets
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
_live = nic.c.removed.is_(None)
sa.Index(
    "uq_nic_live_address",
    nic.c.network_id,
    nic.c.address,
    unique=True,
    sqlite_where=_live,
    postgresql_where=_live,
)
sa.Index("uq_nic_live_mac", nic.c.mac, unique=True, sqlite_where=_live, postgresql_where=_live)

ip_range = sa.Table(
    "ip_range",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False, index=True),
    sa.Column("physical_network_id", type_id, sa.ForeignKey("physical_network.id"), nullable=False),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id")),
    sa.Column("vlan", sa.String(32), nullable=False),  # "untagged" or "vlan://100"
    sa.Column("gateway", sa.String(64), nullable=False),
    sa.Column("netmask", sa.String(64), nullable=False),
    sa.Column("start_ip", sa.String(64), nullable=False),
    sa.Column("end_ip", sa.String(64), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id")),  # dedicated
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id")),
    sa.Column("for_virtual_network", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

public_address = sa.Table(
    "public_address",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("range_id", type_id, sa.ForeignKey("ip_range.id"), nullable=False, index=True),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, server_default="Free"),  # Free Allocating Allocated Releasing
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id")),
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), index=True),
    sa.Column("is_source_nat", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_static_nat", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("machine_id", type_id, index=True),  # static NAT target
    sa.Column("nic_id", type_id),
    sa.Column("allocated", sa.Float),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.UniqueConstraint("zone_id", "address"),
)
sa.Index(
    "ix_public_address_free",
    public_address.c.zone_id,
    public_address.c.id,
    sqlite_where=public_address.c.state == "Free",
    postgresql_where=public_address.c.state == "Free",
)

rule = sa.Table(
    "rule",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("purpose", sa.String(16), nullable=False),  # Firewall Egress PortForwarding StaticNat
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), nullable=False, index=True),
    sa.Column("address_id", type_id, sa.ForeignKey("public_address.id"), index=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("protocol", sa.String(16), nullable=False),  # tcp udp icmp all
    sa.Column("start_port", sa.Integer),
    sa.Column("end_port", sa.Integer),
    sa.Column("private_start", sa.Integer),
    sa.Column("private_end", sa.Integer),
    sa.Column("icmp_type", sa.Integer),
    sa.Column("icmp_code", sa.Integer),
    sa.Column("sources", sa.JSON, nullable=False, default=list),  # CIDRs
    sa.Column("destinations", sa.JSON, nullable=False, default=list),
    sa.Column("machine_id", type_id, index=True),
    sa.Column("nic_id", type_id),
    sa.Column("state", sa.String(16), nullable=False),  # Add Active Revoke Staged
    sa.Column("wish", type_id),  # of Add and Revoke: the router's generation that makes it so
    sa.Column("related_id", type_id, index=True),  # the firewall rule that came with a port-forwarding rule: that one
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("created", sa.Float, nullable=False),
)

router = sa.Table(
    "router",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(64), nullable=False),  # r-4-VM
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("zone_id", type_id, sa.ForeignKey("zone.id"), nullable=False),
    sa.Column("pod_id", type_id, sa.ForeignKey("pod.id")),
    sa.Column("host_id", type_id, sa.ForeignKey("host.id"), index=True),
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), nullable=False),
    sa.Column("service_offering_id", type_id),
    sa.Column("public_mac", sa.String(17), nullable=False, server_default=""),
    sa.Column("guest_mac", sa.String(17), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # VirtualMachine state machine
    sa.Column("redundant_state", sa.String(16), nullable=False, server_default="UNKNOWN"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_router_live_network",
    router.c.network_id,
    unique=True,
    sqlite_where=router.c.removed.is_(None),
    postgresql_where=router.c.removed.is_(None),
)

segment_member = sa.Table(
    "segment_member",
    metadata,
    identity(),
    sa.Column("network_id", type_id, sa.ForeignKey("network.id"), nullable=False),
    sa.Column("host_id", type_id, sa.ForeignKey("host.id"), nullable=False, index=True),
    # What starts on the host right now may bring it the peers of a moment ago: it is told again when that has started.
    sa.Column("unsettled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("network_id", "host_id"),
)
