"""The disks that are ordered with a machine: on which terms, how large, with how many IOPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import model
from pileus.core import database, entities, sizes
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Entries
from pileus.storage import offerings
from pileus.storage.tables import disk_offering
from pileus.storage.terms import Terms, of_disk_offering

GIB = model.GIB
_FIELDS = {"diskofferingid", "size", "deviceid", "miniops", "maxiops"}
_DETAILS = ("rootdisksize", "miniops", "maxiops", "miniopsdo", "maxiopsdo")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for of one disk."""

    offering: Row[Any] | None
    size: int | None  # GiB
    iops: tuple[int | None, int | None]  # least and most


class RootOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The root disk to make with the machine."""

    offering: Row[Any] | None  # None = as the service offering says itself
    size: int  # bytes
    min_iops: int | None = None
    max_iops: int | None = None


class DiskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A data disk to make with the machine."""

    offering: Row[Any]
    size: int  # bytes
    device: int | None = None
    min_iops: int | None = None
    max_iops: int | None = None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the details of an order say of its disks."""

    root_size: int | None = None  # GiB
    root_iops: tuple[int | None, int | None] = (None, None)
    data_iops: tuple[int | None, int | None] = (None, None)

    def for_root(self, offering: Row[Any] | None, size: int | None) -> Wish:
        """Return what is asked for of the root disk; details come before the parameter."""
        return Wish(offering=offering, size=self.root_size if self.root_size is not None else size, iops=self.root_iops)

    def for_data(self, offering: Row[Any] | None, size: int | None) -> Wish:
        """Return what is asked for of the data disk that diskofferingid stands for."""
        return Wish(offering=offering, size=size, iops=self.data_iops)


def choices(details: Mapping[str, str]) -> tuple[Choices, dict[str, str]]:
    """Return what details say of disks, and the details that are left.

    ``rootdisksize`` in GiB; ``minIops`` and ``maxIops`` of the root disk, with ``Do`` at their end of diskofferingid's.
    """
    found = {
        key.lower(): number(f"details[0].{key}", value) for key, value in details.items() if key.lower() in _DETAILS
    }
    said = Choices(
        root_size=found.get("rootdisksize"),
        root_iops=(found.get("miniops"), found.get("maxiops")),
        data_iops=(found.get("miniopsdo"), found.get("maxiopsdo")),
    )
    return said, {key: value for key, value in details.items() if key.lower() not in _DETAILS}


def terms_of(service: Row[Any], joined: Row[Any] | None) -> Terms:
    """Return the terms that a service offering has for root disks: its disk offering's where it is joined to one."""
    if joined is not None:
        return of_disk_offering(joined)
    return Terms(
        offering=service.name,
        storage_type=service.storage_type,
        provisioning=service.provisioning,
        tags=service.storage_tags,
        cache_mode=service.cache_mode or "none",
        rates=service.rates or {},
        size=service.root_disk_size or None,
        strict_size=False,
        customized_iops=service.customized_iops,
        min_iops=service.min_iops,
        max_iops=service.max_iops,
        snapshot_reserve=service.snapshot_reserve,
    )


def root_offering(db: Connection, service: Row[Any], override: Row[Any] | None, zone: Row[Any]) -> Row[Any] | None:
    """Return the disk offering of a machine's root disk: the one that was asked for, else the service offering's."""
    if override is None:
        return database.one(db, disk_offering, service.disk_offering_id) if service.disk_offering_id else None
    if service.strict_disk_offering:
        raise InvalidParameter(
            f"parameter overridediskofferingid: the service offering {service.name} is strict about its disk offering"
        )
    offerings.usable("overridediskofferingid", override, zone)
    return override


def root(call: Call, template: Row[Any], terms: Terms, wish: Wish) -> RootOrder:
    """Return the root disk: as large as asked for (GiB), else as its offering says, else as the template."""
    wanted, source = terms.size, f"offering {terms.offering}"
    if wish.size is not None:
        most = call.services.settings.get(sizes.LARGEST_VOLUME)
        if not 0 < wish.size <= most:
            raise InvalidParameter(f"parameter rootdisksize must be between 1 and {most} GiB, not {wish.size}")
        if terms.strict_size and terms.size not in (None, wish.size * GIB):
            raise InvalidParameter(f"parameter rootdisksize: disk offering {terms.offering} is strict about its size")
        wanted, source = wish.size * GIB, "parameter rootdisksize"
    if wanted is not None and wanted < template.size:
        raise InvalidParameter(
            f"{source}: a root disk of {wanted / GIB:g} GiB is smaller than template {template.name} "
            f"({template.size / GIB:g} GiB)"
        )
    least, most_iops = terms.iops(*wish.iops, parameter="details[0].minIops, maxIops")
    return RootOrder(offering=wish.offering, size=int(wanted or template.size), min_iops=least, max_iops=most_iops)


def data(call: Call, zone: Row[Any], wish: Wish, entries: Entries | None) -> list[DiskOrder]:
    """Return the data disks of diskofferingid (``wish``), and of datadiskofferinglist."""
    orders: list[DiskOrder] = []
    if wish.offering is not None:
        orders.append(_order(call, zone, wish, "diskofferingid"))
    elif wish.size is not None:
        raise InvalidParameter("parameter size is the size of a data disk: parameter diskofferingid is missing")
    elif wish.iops != (None, None):
        raise InvalidParameter("parameter details: minIopsDo and maxIopsDo are of diskofferingid, which is missing")
    orders.extend(_entry(call, zone, entry) for entry in entries or [])
    if len(orders) > model.MOST_DATA_DISKS:
        raise InvalidParameter(f"a machine can be deployed with {model.MOST_DATA_DISKS} data disks at most")
    return _with_devices(orders)


def _order(call: Call, zone: Row[Any], wish: Wish, parameter: str, device: int | None = None) -> DiskOrder:
    offerings.usable(parameter, wish.offering, zone)
    assert wish.offering is not None  # noqa: S101 (of data disks)
    least, most = of_disk_offering(wish.offering).iops(*wish.iops, parameter=f"{parameter}: miniops, maxiops")
    size = data_size(call, wish.offering, wish.size)
    return DiskOrder(offering=wish.offering, size=size, device=device, min_iops=least, max_iops=most)


def _entry(call: Call, zone: Row[Any], entry: dict[str, str]) -> DiskOrder:
    name = "datadiskofferinglist"
    fields = {key.lower(): value for key, value in entry.items()}
    unknown = set(fields) - _FIELDS
    if unknown or "diskofferingid" not in fields:
        raise InvalidParameter(
            f"parameter {name}: each entry has diskofferingid, and may have size (GiB), deviceid, miniops and maxiops"
            + (f"; {', '.join(sorted(unknown))[:80]} is not supported by this server yet" if unknown else "")
        )
    row = entities.resolve(call.db, call.caller, "DiskOffering", fields["diskofferingid"], parameter=name)
    numbers = {key: number(name, value) for key, value in fields.items() if key != "diskofferingid"}
    iops = (numbers.get("miniops"), numbers.get("maxiops"))
    return _order(call, zone, Wish(offering=row, size=numbers.get("size"), iops=iops), name, numbers.get("deviceid"))


def _with_devices(orders: Sequence[DiskOrder]) -> list[DiskOrder]:
    """Give each disk a device number of its own, from 1; those that were asked for stay."""
    asked = [order.device for order in orders if order.device is not None]
    if len(set(asked)) != len(asked) or any(not 0 < device < 32 or device == 3 for device in asked):
        raise InvalidParameter("parameter datadiskofferinglist: each deviceid must be different, 1 to 31 and not 3")
    free = (device for device in range(1, 64) if device != 3 and device not in asked)  # 3 is the CD drive's
    return [
        order if order.device is not None else msgspec.structs.replace(order, device=next(free)) for order in orders
    ]


def data_size(call: Call, offering: Row[Any], asked: int | None) -> int:
    """Return the bytes of a data disk by its offering; ``asked``: GiB, for offerings of custom size."""
    if not offering.customized:
        if asked is not None:
            raise InvalidParameter(
                f"parameter size: disk offering {offering.name} has a fixed size of {offering.size / GIB:g} GiB"
            )
        return int(offering.size)
    if asked is None:
        raise InvalidParameter(f"disk offering {offering.name} is of custom size: parameter size (GiB) is missing")
    least = call.services.settings.get(sizes.SMALLEST_DISK)
    most = call.services.settings.get(sizes.LARGEST_DISK)
    if not least <= asked <= most:
        raise InvalidParameter(f"parameter size must be between {least} and {most} GiB, not {asked}")
    return asked * GIB


def number(parameter: str, text: str) -> int:
    """Return a whole number of a map's entry."""
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 12:
        raise InvalidParameter(f"parameter {parameter}: {text[:40]!r} is not a whole number")
    return int(text)
