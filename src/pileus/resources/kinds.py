"""The names under which objects of any kind are tagged, annotated and detailed, and the objects that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object under one of its names."""

    name: str  # as clients write it
    entity: entities.Entity
    only: ColumnElement[bool] | None = None  # which of the table's rows are meant

    @property
    def table(self) -> Table:
        """Return the table of the objects."""
        return self.entity.table

    def living(self) -> list[ColumnElement[bool]]:
        """Return the conditions for objects that are there."""
        conditions = [] if self.only is None else [self.only]
        if self.entity.alive is not None:
            conditions.append(self.entity.alive(self.table))
        return conditions


Only = Callable[[Table], ColumnElement[bool]]


def _is(column: str, value: str) -> Only:
    return lambda table: table.c[column] == value


_TAGGED: dict[str, tuple[str, Only | None]] = {
    "UserVm": ("UserVm", None),
    "Template": ("Template", _is("kind", "template")),
    "ISO": ("Template", _is("kind", "iso")),
    "Volume": ("Volume", None),
    "Snapshot": ("Snapshot", None),
    "Backup": ("Backup", None),
    "Network": ("Network", None),
    "Nic": ("Nic", None),
    "LoadBalancer": ("FirewallRule", _is("purpose", "LoadBalancing")),
    "PortForwardingRule": ("FirewallRule", _is("purpose", "PortForwarding")),
    "FirewallRule": ("FirewallRule", None),
    "SecurityGroup": ("SecurityGroup", None),
    "SecurityGroupRule": ("SecurityGroupRule", None),
    "PublicIpAddress": ("IPAddress", None),
    "Project": ("Project", None),
    "Account": ("Account", None),
    "User": ("User", None),
    "Domain": ("Domain", None),
    "Zone": ("Zone", None),
    "Pod": ("Pod", None),
    "Cluster": ("Cluster", None),
    "Host": ("Host", None),
    "Storage": ("StoragePool", None),
    "ImageStore": ("ImageStore", None),
    "PhysicalNetwork": ("PhysicalNetwork", None),
    "ServiceOffering": ("ServiceOffering", None),
    "DiskOffering": ("DiskOffering", None),
    "NetworkOffering": ("NetworkOffering", None),
    "VpcOffering": ("VpcOffering", None),
    "Vpc": ("Vpc", None),
    "NetworkACL": ("NetworkACLItem", None),
    "NetworkACLList": ("NetworkACL", None),
    "StaticRoute": ("StaticRoute", None),
    "PrivateGateway": ("PrivateGateway", None),
    "VMSnapshot": ("VMSnapshot", None),
    "SnapshotPolicy": ("SnapshotPolicy", None),
    "RemoteAccessVpn": ("RemoteAccessVpn", None),
    "VpnGateway": ("Site2SiteVpnGateway", None),
    "CustomerGateway": ("Site2SiteCustomerGateway", None),
    "VpnConnection": ("Site2SiteVpnConnection", None),
    "AutoScaleVmProfile": ("AutoScaleVmProfile", None),
    "AutoScaleVmGroup": ("AutoScaleVmGroup", None),
    "LBStickinessPolicy": ("LBStickiness", None),
    "LBHealthCheckPolicy": ("LBHealthCheck", None),
    "GuestOs": ("GuestOS", None),
    "GuestOsCategory": ("GuestOSCategory", None),
    "ObjectStore": ("ObjectStore", None),
    "Bucket": ("Bucket", None),
}

_ANNOTATED: dict[str, tuple[str, Only | None]] = {
    "VM": ("UserVm", None),
    "VOLUME": ("Volume", None),
    "SNAPSHOT": ("Snapshot", None),
    "VM_SNAPSHOT": ("VMSnapshot", None),
    "INSTANCE_GROUP": ("InstanceGroup", None),
    "SSH_KEYPAIR": ("SSHKeyPair", None),
    "USER_DATA": ("UserData", None),
    "NETWORK": ("Network", None),
    "VPC": ("Vpc", None),
    "PUBLIC_IP_ADDRESS": ("IPAddress", None),
    "VPN_CUSTOMER_GATEWAY": ("Site2SiteCustomerGateway", None),
    "TEMPLATE": ("Template", _is("kind", "template")),
    "ISO": ("Template", _is("kind", "iso")),
    "KUBERNETES_CLUSTER": ("KubernetesCluster", None),
    "SERVICE_OFFERING": ("ServiceOffering", None),
    "DISK_OFFERING": ("DiskOffering", None),
    "NETWORK_OFFERING": ("NetworkOffering", None),
    "ZONE": ("Zone", None),
    "POD": ("Pod", None),
    "CLUSTER": ("Cluster", None),
    "HOST": ("Host", None),
    "DOMAIN": ("Domain", None),
    "PRIMARY_STORAGE": ("StoragePool", None),
    "SECONDARY_STORAGE": ("ImageStore", None),
    "VR": ("DomainRouter", None),
    "SYSTEM_VM": ("SystemVm", None),
    "AUTOSCALE_VM_GROUP": ("AutoScaleVmGroup", None),
}

ICONS = frozenset(
    {"User", "Account", "Domain", "Project", "Zone", "UserVm", "Network", "Vpc", "Template", "ISO", "GuestOsCategory"}
)
"""The kinds that may have an icon."""


def _kind(names: Mapping[str, tuple[str, Only | None]], name: str) -> Kind | None:
    entity_name, only = names[name]
    entity = entities.known(entity_name)
    if entity is None or "uuid" not in entity.table.c:
        return None
    return Kind(name=name, entity=entity, only=only(entity.table) if only is not None else None)


def tagged() -> Iterable[Kind]:
    """Yield the kinds of tags, icons and details that there are on this server."""
    return (kind for name in _TAGGED if (kind := _kind(_TAGGED, name)) is not None)


def resource(parameter: str, text: str, *, icons: bool = False) -> Kind:
    """Return the kind that a parameter resourcetype names, ignoring case."""
    return _named(_TAGGED, parameter, text, ICONS if icons else frozenset(_TAGGED))


def annotated(parameter: str, text: str) -> Kind:
    """Return the kind that a parameter entitytype names, ignoring case."""
    return _named(_ANNOTATED, parameter, text, frozenset(_ANNOTATED))


def _named(names: Mapping[str, tuple[str, Only | None]], parameter: str, text: str, allowed: frozenset[str]) -> Kind:
    name = next((name for name in names if name.lower() == text.strip().lower()), "")
    kind = _kind(names, name) if name in allowed else None
    if kind is None:
        known = [name for name in names if name in allowed and _kind(names, name) is not None]
        raise InvalidParameter(f"parameter {parameter} must be one of {', '.join(known)}; not {text[:60]!r}")
    return kind


def find(call: Call, kind: Kind, reference: str, *, parameter: str, manage: bool) -> Row[Any]:
    """Return the object that a parameter names, checked for the caller."""
    row = entities.resolve(
        call.db, call.caller, _entity_name(kind), reference.strip(), parameter=parameter, manage=manage
    )
    if kind.only is not None:
        meant = sa.select(kind.table.c.uuid).where(kind.table.c.uuid == row.uuid, kind.only)
        if call.db.execute(meant).first() is None:
            raise InvalidParameter(f"parameter {parameter}: {reference[:64]} is no {kind.name}")
    return row


def _entity_name(kind: Kind) -> str:
    return kind.entity.kind


def exists(name: ColumnElement[Any], uuid: ColumnElement[Any], kinds: Iterable[Kind]) -> ColumnElement[bool]:
    """Return the condition that an object is still there: ``name`` and ``uuid`` are columns of what hangs on it."""

    def living(kind: Kind) -> ColumnElement[bool]:
        one = sa.select(sa.literal(1)).where(kind.table.c.uuid == uuid, *kind.living())
        return sa.and_(name == kind.name, one.correlate_except(kind.table).exists())

    return sa.or_(sa.false(), *map(living, kinds))


def all_annotated() -> Iterable[Kind]:
    """Yield the kinds of annotations that there are on this server."""
    return (kind for name in _ANNOTATED if (kind := _kind(_ANNOTATED, name)) is not None)


def names(db: Connection, wanted: Iterable[tuple[Kind, str]]) -> dict[str, str]:
    """Return the names of objects by uuid: one query for each kind that is wanted, deleted objects too."""
    by_kind: dict[str, tuple[Kind, set[str]]] = {}
    for kind, uuid in wanted:
        by_kind.setdefault(kind.table.name, (kind, set()))[1].add(uuid)
    found: dict[str, str] = {}
    for kind, uuids in by_kind.values():
        label = next((kind.table.c[name] for name in ("name", "username", "address") if name in kind.table.c), None)
        if label is not None:
            rows = db.execute(sa.select(kind.table.c.uuid, label).where(kind.table.c.uuid.in_(sorted(uuids))))
            found |= {row[0]: row[1] for row in rows}
    return found
