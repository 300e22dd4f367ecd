"""What a machine finds at its first start: SSH keys, and user data of its own, of a catalogue or of its template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.database import get
from pileus.core.errors import InvalidParameter
from pileus.core.listing import related
from pileus.identity import ssh_keys, userdata
from pileus.identity.tables import user_data


def keys(call: Call, owner: Row[Any], one: str | None, several: Iterable[str]) -> dict[str, Any]:
    """Return the columns of a machine with the key pairs that parameters keypair and keypairs name."""
    names = ([one] if one else []) + list(several)
    if not names:
        return {"public_keys": [], "key_pairs": None}
    return ssh_keys.columns(ssh_keys.named(call.db, owner, names, parameter="keypairs"))


def data(
    call: Call,
    template: Row[Any] | None,
    *,
    own: str | None,
    chosen: Row[Any] | None,
    details: Mapping[str, str],
) -> dict[str, Any]:
    """Return the columns of a machine with its user data; ``chosen``: of the catalogue, ``own``: as passed."""
    if own is not None and chosen is not None:
        raise InvalidParameter("parameters userdata and userdataid exclude each other")
    if own is not None:
        own = userdata.checked(own, call.services.settings.get(userdata.LONGEST))
    of_template = (
        None if template is None or not template.user_data_id else get(call.db, user_data, template.user_data_id)
    )
    passed = str(chosen.data) if chosen is not None else own
    text = userdata.combined(of_template, template.user_data_policy if template is not None else None, passed)
    used = chosen if chosen is not None else of_template if own is None else None
    return {
        "user_data": text,
        "user_data_id": used.id if used is not None else None,
        "user_data_details": userdata.details(used, details) or None,
    }


def fields(db: Connection, rows: Iterable[Row[Any]]) -> dict[int, dict[str, Any]]:
    """Return what machines show of user data of the catalogue, by machine: one query a page, none without any."""
    listed = [row for row in rows if row.user_data_id is not None]
    found = related(db, user_data, (row.user_data_id for row in listed))
    return {
        row.id: {
            "userdataid": found[row.user_data_id].uuid,
            "userdataname": found[row.user_data_id].name,
            "userdatadetails": _shown(row.user_data_details),
        }
        for row in listed
        if row.user_data_id in found
    }


def _shown(details: Mapping[str, str] | None) -> str | None:
    return ", ".join(f"{name}={value}" for name, value in sorted((details or {}).items())) or None


def has_key(column: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition for machines that were given a key pair of this name (names have no commas)."""
    return (sa.literal(",") + column + sa.literal(",")).contains(f",{name},", autoescape=True)
