"""User data that accounts keep for their machines: checking it, filling in its variables, putting two together."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.database import metadata
from pileus.core.errors import InvalidParameter
from pileus.core.settings import declare

LONGEST = declare(
    "vm.userdata.max.length", int, 32_768, "characters of user data (base64)", minimum=0, maximum=1_048_576
)
ALLOW, APPEND, DENY = "ALLOWOVERRIDE", "APPEND", "DENYOVERRIDE"
POLICIES = (ALLOW, APPEND, DENY)
"""What a machine's own user data does to that of its template."""

_TYPES = {
    "#!": "text/x-shellscript",
    "#cloud-config": "text/cloud-config",
    "#include": "text/x-include-url",
    "#cloud-boothook": "text/cloud-boothook",
    "#part-handler": "text/part-handler",
    "## template: jinja": "text/jinja2",
}
"""How user data begins -> its MIME type (https://cloudinit.readthedocs.io/en/latest/explanation/format.html)."""


def checked(text: str, longest: int, *, parameter: str = "userdata") -> str:
    """Return user data in base64 without blanks, padded."""
    compact = re.sub(r"\s", "", text)
    if len(compact) > longest:
        raise InvalidParameter(
            f"parameter {parameter} may be at most {longest} characters long in base64"
            f"{f' (setting {LONGEST.name})' if parameter == 'userdata' else ''}"
        )
    padded = compact + "=" * (-len(compact) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter(f"parameter {parameter} must be base64") from None
    return padded


def params(text: str | None) -> str | None:
    """Return the names of variables by commas, checked."""
    names = list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,254}", name):
            raise InvalidParameter(f"parameter params: {name[:64]!r} is no name of a variable")
    return ",".join(names) or None


def details(row: Row[Any] | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables of user data; only its own variables have values."""
    if not given:
        return {}
    known = (row.params or "").split(",") if row is not None else []
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidParameter(f"parameter userdatadetails: the user data has no variable {', '.join(unknown)[:80]}")
    return dict(given)


def combined(template: Row[Any] | None, policy: str | None, own: str | None) -> str | None:
    """Return a machine's user data (base64), from its template's and its own."""
    if template is None:
        return own
    if own is None:
        return str(template.data)
    if policy == DENY:
        raise InvalidParameter(
            "parameter userdata: the template brings its own user data, which may not be replaced (DENYOVERRIDE)"
        )
    return _appended(template.data, own) if policy == APPEND else own


def _appended(first: str, second: str) -> str:
    """Return both as one multipart message, as cloud-init reads it."""
    message = MIMEMultipart(boundary="==pileus-user-data==")
    for data in (first, second):
        text = base64.b64decode(data).decode("utf-8", "replace")
        kind = next((type_ for begin, type_ in _TYPES.items() if text.startswith(begin)), "text/plain")
        message.attach(MIMEText(text, kind.partition("/")[2], "utf-8"))
    return base64.b64encode(message.as_bytes()).decode()


def users(db: Connection, id_: int) -> list[str]:
    """Return what uses user data, for people: each table with a column user_data_id may."""
    found: list[str] = []
    for table in metadata.sorted_tables:
        if "user_data_id" not in table.c:
            continue
        condition = [table.c.user_data_id == id_]
        if "removed" in table.c:
            condition.append(table.c.removed.is_(None))
        names = db.execute(sa.select(table.c.name).where(*condition).limit(3)).scalars().all()
        if names:
            found.append(f"{table.name} {', '.join(names)}")
    return found
