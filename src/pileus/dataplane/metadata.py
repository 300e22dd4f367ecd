"""What a router's metadata service says: the state it is given, and the answer to each path.

Paths are CloudStack's: `/latest/meta-data/` lists the keys, `/latest/meta-data/KEY` and `/latest/KEY` answer one,
`/latest/user-data` gives the decoded user data.  Any dated version stands for `latest`.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from pileus.wire.router import GuestHost, RouterSpec

_VERSION = re.compile(r"latest|\d+\.\d+|\d{4}-\d{2}-\d{2}")
_KEYS = (
    "service-offering",
    "availability-zone",
    "local-ipv4",
    "local-hostname",
    "public-ipv4",
    "public-hostname",
    "instance-id",
    "vm-id",
    "public-keys",
    "cloud-identifier",
)


class Guest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one machine may ask."""

    metadata: dict[str, str] = {}
    user_data: str = ""  # base64
    password: str = ""
    password_id: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One router's service: where it listens, and its machines by address."""

    namespace: str
    address: str
    guests: dict[str, Guest] = {}


def service(spec: RouterSpec, namespace: str) -> Service:
    """Render the state that the metadata server serves for a router."""
    shared = next((public.address for public in spec.public_addresses if public.source_nat), "")
    own = {public.static_nat: public.address for public in spec.public_addresses if public.static_nat}
    guests = {
        host.address: Guest(
            metadata=_metadata(host, own.get(host.address, shared)),
            user_data=host.user_data,
            password=host.password,
            password_id=host.password_id,
        )
        for host in spec.hosts
    }
    return Service(namespace=namespace, address=spec.guest.address, guests=guests)


def _metadata(host: GuestHost, public: str) -> dict[str, str]:
    known = dict.fromkeys(_KEYS, "")
    known |= {"local-ipv4": host.address, "local-hostname": host.name}
    known |= {"public-ipv4": public, "public-hostname": public, "public-keys": "\n".join(host.public_keys)}
    return known | host.metadata


def answer(guest: Guest, path: str) -> bytes | None:
    """Return the body for a path, or None when there is nothing at it."""
    parts = [part for part in path.split("?", 1)[0].split("/") if part]
    if not parts:
        return b"latest\n"
    if not _VERSION.fullmatch(parts[0]):
        return None
    rest = parts[1:]
    if not rest:
        return b"meta-data\nuser-data\n"
    if rest == ["user-data"]:
        return user_data(guest)
    if rest[0] == "meta-data":
        rest = rest[1:]
        if not rest:
            return "".join(f"{key}\n" for key in guest.metadata).encode()
    value = guest.metadata.get("/".join(rest))
    return None if value is None else value.encode()


def user_data(guest: Guest) -> bytes:
    """Return the user data decoded; text that is no base64 is given as it is."""
    try:
        return base64.b64decode(guest.user_data, validate=True)
    except binascii.Error:
        return guest.user_data.encode()
