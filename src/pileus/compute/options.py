"""Options of a machine that are kept among its details: threads and queues of its devices, extra configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree as Xml

import msgspec
import sqlalchemy as sa

from pileus.compute import settings
from pileus.core import entities
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries
from pileus.dataplane import dhcp_options
from pileus.network.tables import network, network_offering

IO_THREADS, IO_POLICY = "iothreads", "io.policy"
QUEUES, PACKED = "nic.multiqueue.number", "nic.packed.virtqueues.enabled"
EXTRA = "extraconfig"
POLICIES = ("native", "threads", "io_uring", "storage_specific")
MOST_QUEUES = 256
_OURS = frozenset({"name", "uuid", "metadata", "memory", "currentMemory", "vcpu"})
"""Elements by which machines are known and accounted for."""
_TITLE = re.compile(r"([A-Za-z0-9_.-]{1,60}):")


def chosen(
    details: Mapping[str, str],
    *,
    threads: bool | None = None,
    policy: str | None = None,
    queues: int | None = None,
    packed: bool | None = None,
) -> dict[str, str]:
    """Return details with these options among them, checked whichever way they were given."""
    if any(key.lower().startswith(EXTRA) for key in details):
        raise InvalidParameter(f"parameter details: {EXTRA} is a parameter of its own")
    found = dict(details)
    if threads is not None:
        found[IO_THREADS] = str(threads).lower()
    if policy is not None:
        found[IO_POLICY] = policy.strip().lower()
    if queues is not None:
        found[QUEUES] = str(queues)
    if packed is not None:
        found[PACKED] = str(packed).lower()
    for key in (IO_THREADS, PACKED):
        if found.get(key, "true") not in ("true", "false"):
            raise InvalidParameter(f"parameter details: {key} must be true or false")
    if found.get(IO_POLICY, "native") not in POLICIES:
        raise InvalidParameter(f"parameter iodriverpolicy must be one of {', '.join(POLICIES)}")
    number = found.get(QUEUES, "-1")
    if number != "-1" and not (number.isascii() and number.isdecimal() and 1 <= int(number[:9]) <= MOST_QUEUES):
        raise InvalidParameter(
            f"parameter nicmultiqueuenumber must be -1 (as many as the machine has cores) or 1 to {MOST_QUEUES}"
        )
    return found


def extra_kept(details: Mapping[str, str]) -> dict[str, str]:
    """Return the extra configuration among a machine's details."""
    return {key: value for key, value in details.items() if key.startswith(f"{EXTRA}-")}


def configured(call: Call, account_id: int, text: str | None) -> dict[str, str]:
    """Return extra configuration as details, when the owner's account may have it.

    It is XML, in parts that are separated by empty lines, each of which may begin with a line ``title:``; it may be
    encoded as in a URL.
    """
    if not text:
        return {}
    get, where = call.services.settings.get, ("account", account_id)
    if not get(settings.EXTRA_CONFIG, where):
        raise PermissionDenied(
            f"parameter {EXTRA} is not for this account: the setting {settings.EXTRA_CONFIG.name} is false"
        )
    allowed = {each.strip() for each in get(settings.EXTRA_ELEMENTS, where).split(",")} - _OURS - {""}
    clear = text if "<" in text else unquote_plus(text)
    found: dict[str, str] = {}
    for number, part in enumerate(filter(str.strip, re.split(r"\n\s*\n", clear.replace("\r", ""))), 1):
        first, _, rest = part.strip().partition("\n")
        title = _TITLE.fullmatch(first.strip())
        found[f"{EXTRA}-{title[1] if title else number}"] = _part(rest if title else part.strip(), allowed)
    return found


def _part(text: str, allowed: set[str]) -> str:
    if "<!" in text or "<?" in text or "xmlns" in text:
        raise InvalidParameter(f"parameter {EXTRA} must be plain elements, without declarations and name spaces")
    try:
        root = Xml.fromstring(f"<domain>{text}</domain>")  # noqa: S314 (no declarations: nothing to expand)
    except Xml.ParseError as error:
        raise InvalidParameter(f"parameter {EXTRA} must be XML: {error}") from None
    tags = [element.tag for element in root]
    loose = (root.text or "").strip() or any((element.tail or "").strip() for element in root)
    if not tags or loose:
        raise InvalidParameter(f"parameter {EXTRA} must be elements of libvirt's domain XML and nothing else")
    refused = sorted({tag for tag in tags if tag not in allowed})
    if refused:
        raise InvalidParameter(
            f"parameter {EXTRA}: {', '.join(refused)[:80]} is not among the elements that the setting "
            f"{settings.EXTRA_ELEMENTS.name} allows"
        )
    return text


class Options(msgspec.Struct, frozen=True):
    """What the details of a machine say of its devices."""

    io_threads: int
    io: str
    queues: int
    packed: bool
    extra: list[str]


def read(details: Mapping[str, str], cpus: int) -> Options:
    """Return the options of a machine with so many cores."""
    policy, number = details.get(IO_POLICY, ""), int(details.get(QUEUES, "0"))
    return Options(
        io_threads=1 if details.get(IO_THREADS) == "true" else 0,
        io="" if policy == "storage_specific" else policy,
        queues=min(cpus, MOST_QUEUES) if number == -1 else number,
        packed=details.get(PACKED) == "true",
        extra=list(extra_kept(details).values()),
    )


def dhcp(call: Call, entries: Entries | None, networks: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the DHCP options of a machine's NICs, by network (one of ``networks``, the machine's).

    An entry without options takes them away.
    """
    if not entries:
        return {}
    services = _services(call, networks)
    found: dict[int, dict[str, str]] = {}
    for entry in entries:
        fields = {key.lower(): value for key, value in entry.items()}
        named = fields.pop("networkid", None)
        if named is None:
            raise InvalidParameter("parameter dhcpoptionsnetworklist: each entry has networkid, and dhcp:<code>")
        of = entities.resolve(call.db, call.caller, "Network", named, parameter="dhcpoptionsnetworklist")
        if of.id not in services or of.id in found:
            why = "is named twice" if of.id in found else "is none of the machine's networks"
            raise InvalidParameter(f"parameter dhcpoptionsnetworklist: {of.name} {why}")
        if fields and "Dhcp" not in services[of.id]:
            raise InvalidParameter(f"parameter dhcpoptionsnetworklist: network {of.name} has no DHCP")
        try:
            found[of.id] = dict(dhcp_options.check(key.removeprefix("dhcp:"), fields[key].strip()) for key in fields)
        except ValueError as error:
            raise InvalidParameter(f"parameter dhcpoptionsnetworklist: {error}") from None
    return found


def _services(call: Call, networks: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """Return the services of networks."""
    found = call.db.execute(
        sa.select(network.c.id, network_offering.c.services)
        .join(network_offering, network_offering.c.id == network.c.offering_id)
        .where(network.c.id.in_(list(networks)))
    )
    return {row.id: row.services for row in found}
