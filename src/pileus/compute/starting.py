"""Bringing a machine up: the step that reserves its place, and everything that the host must be told.

The reserving step does all reading at once, so that a start costs few transactions: what it returns is recorded, and
the operations are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import addressing, limits, model, placement, usage
from pileus.compute import options as machine_options
from pileus.compute.disks import terms_of
from pileus.compute.tables import machine, service_offering
from pileus.core import database, services
from pileus.core.errors import ConcurrentChange, InsufficientCapacity, InvalidParameter
from pileus.core.listing import related
from pileus.core.statements import Fixed
from pileus.images.tables import os_type, template, template_copy
from pileus.infrastructure.tables import host
from pileus.network import nics, segments
from pileus.network.tables import nic, router
from pileus.scheduling import planners
from pileus.scheduling.model import Disk, Refusal, Request, list_tags, unpack_tags
from pileus.storage import qos, specs
from pileus.storage.tables import disk_offering, storage_pool, volume
from pileus.storage.terms import Terms
from pileus.storage.volumes import ALLOCATED, CREATING, READY
from pileus.wire import machines as wire

_VOLUMES = Fixed(
    sa.select(volume)
    .where(volume.c.machine_id == sa.bindparam("machine"), volume.c.removed.is_(None))
    .order_by(volume.c.device_id)
)
_PLUGGED = Fixed(
    sa.select(nic.c.network_id, router.c.id)
    .join(router, sa.and_(router.c.network_id == nic.c.network_id, router.c.removed.is_(None)), isouter=True)
    .where(nic.c.machine_id == sa.bindparam("machine"), nic.c.removed.is_(None))
)
_COPIES = Fixed(
    sa.select(template_copy).where(
        template_copy.c.template_id == sa.bindparam("template"), template_copy.c.state == "Ready"
    )
)
_OS_CATEGORY = Fixed(
    sa.select(os_type.c.category_id)
    .select_from(template.join(os_type, os_type.c.id == template.c.os_type_id))
    .where(template.c.id == sa.bindparam("template"))
)
_MADE = Fixed(
    sa.update(volume)
    .where(volume.c.uuid == sa.bindparam("of"), volume.c.state == CREATING)
    .values(
        state=READY,
        path=sa.bindparam("where"),
        physical_size=sa.bindparam("really"),
        attached=sa.bindparam("at"),
    )
)


class Where(msgspec.Struct, frozen=True):
    """Where the caller (or the last failure) wants the machine to be, or not."""

    pod: int | None = None
    cluster: int | None = None
    host: int | None = None
    avoid: tuple[int, ...] = ()
    planner: str = ""  # "" = the service offering's, or the setting's
    anew: bool = False  # the host that it was last on is as good as any other


class Create(msgspec.Struct, frozen=True):
    """A volume that has to be made before the machine starts."""

    id: int
    uuid: str
    size: int
    pool: int
    arguments: dict[str, Any]
    iops: int = 0


class Placed(msgspec.Struct, frozen=True):
    """A reserved place, and all that is needed to start the machine there."""

    host: int
    spec: dict[str, Any]  # MachineSpec; the paths of volumes to be made are still empty, the VNC password encrypted
    create: list[Create]
    routers: list[int]
    members: list[int]  # memberships of segments whose hosts must learn of this one
    former: int | None  # the host that still knows the machine from an earlier run


def reserve(
    db: Connection, machine_id: int, where: Where, *, generation: int, admin: bool, planner: str = ""
) -> Placed:
    """Take a place for the machine and its volumes, and gather what its host must know.

    ``planner`` chooses where neither the order nor the service offering names one.
    """
    row = database.one(db, machine, machine_id)
    if row.state not in (model.STOPPED, model.STARTING):
        raise InvalidParameter(f"virtual machine {row.name} is {row.state}; only a stopped one can be started")
    offering = database.one(db, service_offering, row.service_offering_id)
    limits.claim_start(db, row, offering)
    volumes = _on_terms(db, row, offering)
    if not where.planner:
        where = msgspec.structs.replace(where, planner=offering.planner or planner)
    request = _request(db, row, offering, volumes, where)
    found = placement.of(db).reserve(
        db, request, lambda place: _take(db, row, offering, volumes, place, generation=generation)
    )
    if isinstance(found, Refusal):
        raise InsufficientCapacity(refusal_text(found, admin=admin))
    return found


def refusal_text(refusal: Refusal, *, admin: bool) -> str:
    """Return why a machine has no place: filter by filter for admins, one plain sentence for others."""
    if admin:
        return f"Unable to find a place for the machine: {refusal.detail}"
    return "There is no room for this machine at the moment; try a smaller one, or try again later"


def wish(db: Connection, row: Row[Any]) -> Request:
    """Return what a machine asks of a host, its volumes staying where they are."""
    offering = database.one(db, service_offering, row.service_offering_id)
    return _request(db, row, offering, _on_terms(db, row, offering), Where())


def _on_terms(db: Connection, row: Row[Any], offering: Row[Any]) -> list[tuple[Row[Any], Terms]]:
    """Return a machine's volumes, each with the terms that it is on by now."""
    volumes = _VOLUMES(db, {"machine": row.id}).all()
    offerings = related(db, disk_offering, (each.disk_offering_id for each in volumes))
    return [(each, terms_of(offering, offerings.get(each.disk_offering_id))) for each in volumes]


def _request(
    db: Connection, row: Row[Any], offering: Row[Any], volumes: Sequence[tuple[Row[Any], Terms]], where: Where
) -> Request:
    disks = [
        Disk(
            size=each.size,
            iops=each.min_iops or 0,
            local=terms.local,
            tags=unpack_tags(terms.tags),
            listed_tags=list_tags(terms.tags),
            pool_id=_kept_in(each),
        )
        for each, terms in volumes
    ]
    return Request(
        zone_id=row.zone_id,
        hypervisor=row.hypervisor,
        cpus=row.cpus,
        cpu_mhz=row.cpu_mhz,
        cpu_limited=offering.limit_cpu,
        memory=row.memory_mib,
        disks=tuple(disks),
        host_tags=unpack_tags(offering.host_tags),
        listed_tags=list_tags(offering.host_tags),
        os_category_id=_OS_CATEGORY(db, {"template": row.template_id}).scalar_one_or_none(),
        pod_id=where.pod,
        cluster_id=where.cluster,
        host_id=where.host,
        preferred_host_id=None if where.anew else row.last_host_id,
        avoid=frozenset(where.avoid),
        planner=where.planner,
        neighbours=_neighbours(db, row) if planners.counts(where.planner) else (),
        account_id=row.account_id,
        domain_id=row.domain_id,
    )


def _neighbours(db: Connection, row: Row[Any]) -> tuple[tuple[int, int, int], ...]:
    """Return how many machines the owner has on the hosts of each cluster of the zone."""
    c = machine.c
    counted = (
        sa.select(c.pod_id, c.cluster_id, sa.func.count())
        .where(c.account_id == row.account_id, c.zone_id == row.zone_id, c.host_id.is_not(None), c.id != row.id)
        .group_by(c.pod_id, c.cluster_id)
    )
    return tuple((int(pod), int(cluster), int(count)) for pod, cluster, count in db.execute(counted))


def _kept_in(row: Row[Any]) -> int | None:
    """Return the pool in which a volume is already."""
    return row.pool_id if row.state == READY else None


def _take(
    db: Connection,
    row: Row[Any],
    offering: Row[Any],
    volumes: Sequence[tuple[Row[Any], Terms]],
    found: placement.Reserved,
    *,
    generation: int,
) -> Placed:
    if not database.change(
        db,
        machine,
        row.id,
        expect={"state": (model.STOPPED, model.STARTING)},
        state=model.STARTING,
        host_id=found.host_id,
        pod_id=found.pod_id,
        cluster_id=found.cluster_id,
        updated=database.now(),
    ):
        raise ConcurrentChange(f"virtual machine {row.name} changed its state meanwhile")
    pools = related(db, storage_pool, found.pool_ids)
    create, disks = _disks(db, row, volumes, found.host_id, [pools[id_] for id_ in found.pool_ids])
    plugged = _PLUGGED(db, {"machine": row.id}).all()
    members = segments.join(db, [each.network_id for each in plugged], found.host_id)
    options = machine_options.read(row.details, row.cpus)
    spec = wire.MachineSpec(
        name=row.instance_name,
        uuid=row.uuid,
        cpus=row.cpus,
        cpu_mhz=row.cpu_mhz,
        cpu_limited=offering.limit_cpu,
        memory_mib=row.memory_mib,
        disks=[msgspec.structs.replace(disk, io=options.io) for disk in disks],
        io_threads=options.io_threads,
        extra=options.extra,
        nics=[
            msgspec.structs.replace(each, queues=options.queues, packed=options.packed)
            for each in nics.specs(db, row.id, found.host_id)
        ],
        vnc_password=row.vnc_password or "",
        title=row.display_name or row.name,
        keyboard=row.details.get(model.KEYBOARD, ""),
        generation=generation,
    )
    moved = row.last_host_id if row.last_host_id not in (None, found.host_id) else None
    return Placed(
        host=found.host_id,
        spec=msgspec.to_builtins(spec),
        create=create,
        routers=sorted({each.id for each in plugged if each.id is not None}),
        members=members,
        former=moved,
    )


def _disks(
    db: Connection, row: Row[Any], volumes: Sequence[tuple[Row[Any], Terms]], host_id: int, pools: Sequence[Row[Any]]
) -> tuple[list[Create], list[wire.Disk]]:
    """Mark the volumes that are to be made, and return them with all disks of the machine."""
    create: list[Create] = []
    disks: list[wire.Disk] = []
    settings = services.of(db).settings
    for (each, terms), pool in zip(volumes, pools, strict=True):
        if each.state != READY:
            made_from = _image(db, row, each.template_id, host_id) if each.template_id is not None else None
            if not database.change(
                db, volume, each.id, expect={"state": (ALLOCATED, CREATING)}, state=CREATING, pool_id=pool.id
            ):
                raise ConcurrentChange(f"volume {each.name} changed its state meanwhile")
            arguments = msgspec.to_builtins(specs.volume(each, pool, made_from, terms.provisioning))
            create.append(Create(each.id, each.uuid, each.size, pool.id, arguments, each.min_iops or 0))
        disks.append(
            wire.Disk(
                volume=each.uuid,
                pool=pool.uuid,
                path=each.path,
                device=each.device_id,
                format=each.format.lower(),
                cache=terms.cache,
                throttle=qos.throttle(qos.effective(settings, terms.rates, each.max_iops), each.max_iops),
            )
        )
    return create, disks


def _image(db: Connection, row: Row[Any], template_id: int, host_id: int) -> Any:
    copies = _COPIES(db, {"template": template_id}).all()
    here = next((copy for copy in copies if copy.zone_id in (None, row.zone_id)), None)
    if here is None:
        raise InvalidParameter(f"the template of virtual machine {row.name} is in no image store of its zone any more")
    return specs.image(database.one(db, template, template_id), here, addressing.images(db, host_id))


def spec_with_paths(placed: Placed, paths: Mapping[str, str], vnc_password: str) -> dict[str, Any]:
    """Return the MachineSpec once all volumes are there (uuid -> path)."""
    disks = [{**disk, "path": paths.get(disk["volume"], disk["path"])} for disk in placed.spec["disks"]]
    return {**placed.spec, "disks": disks, "vnc_password": vnc_password}


def started(
    db: Connection, machine_id: int, paths: Mapping[str, str], sizes: Mapping[str, int | None], vnc_port: int | None
) -> None:
    """Record that the machine runs, with its volumes."""
    moment = database.now()
    for uuid, path in paths.items():
        _MADE(db, {"of": uuid, "at": moment, "where": path, "really": sizes.get(uuid)})
    if not database.change(
        db,
        machine,
        machine_id,
        expect={"state": model.STARTING},
        state=model.RUNNING,
        power_state="PowerOn",
        power_seen=moment,
        vnc_port=vnc_port,
        updated=moment,
    ):
        raise ConcurrentChange("the virtual machine changed its state meanwhile")
    usage.machine_changed(db, machine_id, usage.STARTED)


def release(db: Connection, machine_id: int, created: Sequence[Mapping[str, Any]] = ()) -> None:
    """Give back the room that a machine holds on its host, and that of volumes which were not made after all."""
    row = database.one(db, machine, machine_id)
    for each in created:
        if database.change(
            db, volume, each["id"], expect={"state": CREATING, "pool_id": each["pool"]}, state=ALLOCATED, pool_id=None
        ):
            placement.give_pool(db, each["pool"], each["size"], each.get("iops", 0))
    if row.host_id is not None:
        leave_host(db, row)


def leave_host(db: Connection, row: Row[Any], **changes: Any) -> bool:
    """Take the machine off its host's account, once; tell whether it was on it."""
    left = database.change(
        db, machine, row.id, expect={"host_id": row.host_id}, host_id=None, pod_id=None, cluster_id=None, **changes
    )
    if left:
        placement.give_host(db, row.host_id, row.cpus * row.cpu_mhz, row.memory_mib)
        networks = db.execute(sa.select(nic.c.network_id).where(nic.c.machine_id == row.id, nic.c.removed.is_(None)))
        segments.review(db, networks.scalars().all(), row.host_id)
    return left


def host_up(db: Connection, host_id: int) -> str:
    """Return "" when the host takes operations, else why not."""
    row = database.get(db, host, host_id)
    if row is None or row.removed is not None:
        return "is gone"
    return "" if row.state == "Up" else f"is {row.state}"
