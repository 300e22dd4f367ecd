"""What a router's metadata service answers to each path.  Imports little: the process that uses it should stay small.

Paths are CloudStack's: `/latest/meta-data/` lists the keys, `/latest/meta-data/KEY` and `/latest/KEY` answer one,
`/latest/user-data` gives the decoded user data.  Any dated version stands for `latest`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re

_VERSION = re.compile(r"latest|\d+\.\d+|\d{4}-\d{2}-\d{2}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guest:
    """What one machine may ask."""

    metadata: dict[str, str]
    user_data: str = ""  # base64
    password: str = ""
    password_id: str = ""


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
