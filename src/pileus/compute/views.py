"""What clients see of machines; related rows are loaded once a page, and only those that were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import access, leases, statistics
from pileus.compute.tables import machine, service_offering
from pileus.core.errors import InvalidParameter
from pileus.core.jobs.tables import ACTIVE, job
from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.core.statements import Listing
from pileus.identity import store as identity
from pileus.identity.tables import user
from pileus.images.tables import os_type, template
from pileus.infrastructure.tables import host, zone
from pileus.network import views as network_views
from pileus.storage import qos
from pileus.storage.tables import disk_offering, volume
from pileus.storage.volumes import DATA, ROOT_TERMS

Fields = dict[str, Any]

DETAILS = ("group", "nics", "stats", "secgrp", "tmpl", "servoff", "diskoff", "backoff", "iso", "volume", "affgrp")
"""What a list may be asked to show beside the machines themselves (``all`` and ``min`` say all and nothing)."""


_DATA_OFFERINGS = Listing(
    lambda among: (
        sa.select(volume.c.machine_id, disk_offering.c.uuid, disk_offering.c.name)
        .join(disk_offering, disk_offering.c.id == volume.c.disk_offering_id)
        .where(among(volume.c.machine_id, "machines"), volume.c.type == DATA, volume.c.removed.is_(None))
        .order_by(volume.c.device_id.desc())
    )
)
_JOBS = Listing(
    lambda among: sa.select(job.c.key, job.c.uuid).where(
        among(job.c.key, "keys"), sa.or_(*(job.c.state == state for state in ACTIVE))
    )
)


_OF_VOLUMES = Listing(
    lambda among: (
        sa.select(
            machine.c.id,
            machine.c.uuid,
            machine.c.name,
            machine.c.display_name,
            machine.c.state,
            machine.c.hypervisor,
            service_offering.c.uuid.label("offering"),
            service_offering.c.name.label("offering_name"),
            service_offering.c.display_text.label("offering_text"),
            service_offering.c.rates,
            service_offering.c.provisioning,
        )
        .join(service_offering, service_offering.c.id == machine.c.service_offering_id)
        .where(among(machine.c.id, "machines"))
    )
)


def wanted_details(details: Iterable[str]) -> frozenset[str]:
    """Return the groups of fields that a list shall show; nothing said means all."""
    asked = {detail.strip().lower() for detail in details}
    if not asked or "all" in asked:
        return frozenset(DETAILS)
    unknown = asked - set(DETAILS) - {"min"}
    if unknown:
        raise InvalidParameter(
            f"parameter details may hold all, min, {', '.join(DETAILS)}; not {', '.join(sorted(unknown))[:80]}"
        )
    return frozenset(asked - {"min"})


def machines(
    db: Connection,
    rows: Sequence[Row[Any]],
    *,
    admin: bool,
    details: frozenset[str] = frozenset(DETAILS),
    user_data: bool = False,
    jobs: bool = True,
) -> list[Fields]:
    """Return machines; where they run is for root admins."""
    ids = [row.id for row in rows]
    owners = identity.owners(db, rows)
    zones = related(db, zone, (row.zone_id for row in rows))
    users = related(db, user, (row.user_id for row in rows))
    hosts = related(db, host, (row.host_id for row in rows)) if admin else {}
    systems = related(db, os_type, (row.os_type_id for row in rows))
    templates = related(db, template, (row.template_id for row in rows))
    offerings = related(db, service_offering, (row.service_offering_id for row in rows)) if "servoff" in details else {}
    nics: Mapping[int, list[Fields]] = network_views.nics(db, ids, admin=admin) if "nics" in details else {}
    disks = _data_offerings(db, ids) if "diskoff" in details else {}
    of_catalogue = access.fields(db, rows)
    pending = _jobs(db, ids) if jobs else {}
    measured = statistics.fields(db, rows) if "stats" in details else {}
    found: list[Fields] = []
    for row in rows:
        view = _basics(row, zones[row.zone_id], users.get(row.user_id), systems.get(row.os_type_id))
        view |= identity.owner_fields(owners.get(row.account_id))
        view |= pending.get(row.id, {})
        made_from = templates.get(row.template_id)
        view["passwordenabled"] = bool(made_from.password_enabled) if made_from is not None else False
        if made_from is not None and "tmpl" in details:
            view |= _template(made_from)
        offering = offerings.get(row.service_offering_id)
        if offering is not None:
            view |= {"serviceofferingid": offering.uuid, "serviceofferingname": offering.name}
        if "nics" in details:
            view["nic"] = nics.get(row.id, [])
            view |= _default_address(view["nic"])
        view |= disks.get(row.id, {})
        view |= measured.get(row.id, {})
        view |= of_catalogue.get(row.id, {})
        if made_from is not None and row.user_data_id is not None:
            view["userdatapolicy"] = made_from.user_data_policy
        for field, detail in (("securitygroup", "secgrp"), ("affinitygroup", "affgrp")):
            if detail in details:
                view[field] = []
        if admin:
            view |= _where(row, hosts.get(row.host_id))
        if user_data:
            view["userdata"] = row.user_data
        found.append(view)
    return found


def _basics(row: Row[Any], in_zone: Row[Any], by: Row[Any] | None, system: Row[Any] | None) -> Fields:
    return {
        "id": row.uuid,
        "name": row.name,
        "displayname": row.display_name or row.name,
        "userid": by.uuid if by is not None else None,
        "username": by.username if by is not None else None,
        "created": date(row.created),
        "lastupdated": date(row.updated or row.created),
        "state": row.state,
        "haenable": row.ha_enabled,
        "zoneid": in_zone.uuid,
        "zonename": in_zone.name,
        "cpunumber": row.cpus,
        "cpuspeed": row.cpu_mhz,
        "memory": row.memory_mib,
        "hypervisor": row.hypervisor,
        "rootdeviceid": 0,
        "rootdevicetype": "ROOT",
        "group": row.group_name,
        "keypairs": row.key_pairs,
        "details": row.details or None,
        "isdynamicallyscalable": False,  # no machine changes its size while it runs
        **leases.fields(row),
        "ostypeid": system.uuid if system is not None else None,
        "guestosid": system.uuid if system is not None else None,
        "osdisplayname": system.name if system is not None else None,
        "deleteprotection": row.delete_protection,
        "hasannotations": False,
        "tags": [],
    }


def _template(row: Row[Any]) -> Fields:
    return {
        "templateid": row.uuid,
        "templatename": row.name,
        "templatedisplaytext": row.display_text,
        "templatetype": row.type,
        "templateformat": row.format,
        "arch": row.architecture,
    }


def _where(row: Row[Any], on: Row[Any] | None) -> Fields:
    fields: Fields = {"instancename": row.instance_name, "displayvm": row.display}
    if on is not None:
        fields |= {"hostid": on.uuid, "hostname": on.name, "hostcontrolstate": on.resource_state}
    return fields


def _default_address(nics: Sequence[Fields]) -> Fields:
    default = next((nic for nic in nics if nic.get("isdefault")), None)
    if default is None:
        return {}
    return {name: default.get(name) for name in ("ipaddress", "publicip", "publicipid")}


def _data_offerings(db: Connection, ids: Sequence[int]) -> dict[int, Fields]:
    """Return the disk offering of each machine's first data disk."""
    return {
        row.machine_id: {"diskofferingid": row.uuid, "diskofferingname": row.name}
        for row in _DATA_OFFERINGS(db, {"machines": list(ids)})
    }


def _jobs(db: Connection, ids: Sequence[int]) -> dict[int, Fields]:
    """Return the running job of each machine that has one."""
    keys = {f"machine:{id_}": id_ for id_ in ids}
    found = _JOBS(db, {"keys": list(keys)})
    return {keys[row.key]: {"jobid": row.uuid, "jobstatus": 0} for row in found}


def of_volumes(db: Connection, machine_ids: Iterable[int]) -> dict[int, Fields]:
    """Return what volumes answer of their machines."""
    return {
        row.id: {
            "virtualmachineid": row.uuid,
            "vmname": row.name,
            "vmdisplayname": row.display_name or row.name,
            "vmstate": row.state,
            "vmtype": "User",
            "hypervisor": row.hypervisor,
            "serviceofferingid": row.offering,
            "serviceofferingname": row.offering_name,
            "serviceofferingdisplaytext": row.offering_text,
            ROOT_TERMS: {"provisioningtype": row.provisioning, **qos.shown(row.rates, bursts=False)},
        }
        for row in _OF_VOLUMES(db, {"machines": list(machine_ids)})
    }
