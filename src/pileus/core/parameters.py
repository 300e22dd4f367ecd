"""Parameters: from the text of a request to typed attributes of a command.

Rules of the wire (source: the project's contract): only "true" in any case is true; blank numbers count as absent; a
required parameter may not be empty; strings are at most 255 characters unless the contract says otherwise; ASCII
control characters are refused; maps come as ``name[i].field=value``; a repeated parameter's last value wins.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import types
import typing
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Row

from pileus.core import contract
from pileus.core.errors import InvalidParameter, MissingParameter

Ref = Annotated[Row[Any], "ref"]
"""A reference: a uuid on the wire, the object's row in the command; resolved and checked for the caller."""

REF_OR_ALL, ALL = "ref or all", "-1"

RefOrAll = Annotated[Row[Any] | str, REF_OR_ALL]
"""A reference, or "-1" for all that there are: stays text then."""

Date = Annotated[float, "date"]
"""A point in time: text on the wire, seconds since the epoch in the command."""

Entries = list[dict[str, str]]
"""A map parameter with named fields: one dict an index, in the order of the indices."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAP = re.compile(r"^([a-z0-9_.]+)\[(\d{1,6})\]\.(.+)$", re.IGNORECASE)
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.IGNORECASE)
_LIMITS = {"short": 15, "integer": 31, "long": 63}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A declared parameter of a command class."""

    name: str
    kind: str  # str int float bool date ref, ref or all, list[str] list[int] list[ref] map entries
    required: bool
    default: Any
    wire: contract.Parameter
    manage: bool = False  # the caller must own the object, not only be allowed to use it


def is_uuid(text: str) -> bool:
    """Tell whether the text is a UUID in its usual form."""
    return bool(_UUID.match(text))


def kind_of(hint: Any) -> str:
    """Return the field kind that a type annotation stands for (TypeError when there is none)."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(inner) == 1:
            return kind_of(inner[0])
    if typing.get_origin(hint) is Annotated:
        return str(typing.get_args(hint)[1])
    simple = {str: "str", int: "int", float: "float", bool: "bool"}.get(hint)
    if simple:
        return simple
    if typing.get_origin(hint) is list:
        inner_hint = typing.get_args(hint)[0]
        return "entries" if typing.get_origin(inner_hint) is dict else f"list[{kind_of(inner_hint)}]"
    if typing.get_origin(hint) is dict:
        return "map"
    raise TypeError(f"no parameter kind for {hint!r}")


def gather_maps(raw: dict[str, str]) -> dict[str, dict[int, dict[str, str]]]:
    """Collect ``name[i].field`` parameters: lower-cased name -> index -> field (as written) -> value."""
    maps: dict[str, dict[int, dict[str, str]]] = {}
    for name, value in raw.items():
        if "[" not in name:
            continue
        match = _MAP.match(name)
        if match:
            check_text(match[1], match[3] + value, 0)
            maps.setdefault(match[1].lower(), {}).setdefault(int(match[2]), {})[match[3]] = value
    return maps


def check_text(name: str, value: str, limit: int) -> str:
    """Return the text when it is fit to store; ``limit`` 0 = any length."""
    if limit and len(value) > limit:
        raise InvalidParameter(f"parameter {name} is {len(value)} characters long; at most {limit} are allowed")
    if _CONTROL.search(value):
        raise InvalidParameter(f"parameter {name} contains ASCII control characters, which are not allowed")
    return value


def convert(field: Field, raw: dict[str, str], maps: dict[str, dict[int, dict[str, str]]]) -> Any:
    """Return the field's value; references stay text until they are resolved in the transaction."""
    if field.kind in ("map", "entries"):
        return _convert_map(field, maps.get(field.name, {}))
    text = raw.get(field.name)
    if text is None or (text.strip() == "" and field.kind != "str"):
        if field.required:
            raise MissingParameter(f"unable to execute API command: missing parameter {field.name}")
        return field.default
    if field.required and not text.strip():
        raise MissingParameter(f"unable to execute API command: parameter {field.name} may not be empty")
    if field.kind.startswith("list["):
        return _convert_list(field, text)
    return _scalar(field.name, field.kind, text.strip() if field.kind != "str" else text, field.wire)


def _convert_map(field: Field, entries: dict[int, dict[str, str]]) -> Any:
    if not entries:
        if field.required:
            raise MissingParameter(f"unable to execute API command: missing parameter {field.name}")
        return field.default
    ordered = [entries[index] for index in sorted(entries)]
    if field.kind == "entries":
        return ordered
    merged: dict[str, str] = {}
    for entry in ordered:
        lowered = {key.lower(): value for key, value in entry.items()}
        if set(lowered) == {"key", "value"}:
            merged[lowered["key"]] = lowered["value"]
        else:
            merged.update(entry)
    return merged


def _convert_list(field: Field, text: str) -> list[Any]:
    inner = field.kind[5:-1]
    parts = [part.strip() for part in text.split(",")]
    return [_scalar(field.name, inner, part, field.wire) for part in parts if part]


def _scalar(name: str, kind: str, text: str, wire: contract.Parameter) -> Any:
    if kind == "str":
        return check_text(name, text, wire.maxlength)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return _whole(name, text, wire.of or wire.type)
    if kind == "float":
        return _real(name, text)
    if kind == "date":
        return _date(name, text)
    return check_text(name, text, 255)


def _whole(name: str, text: str, wire_type: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,20}", text):
        raise InvalidParameter(f"parameter {name} must be a whole number, not {text[:60]!r}")
    value = int(text)
    bits = _LIMITS.get(wire_type, 63)
    if not -(2**bits) <= value < 2**bits:
        raise InvalidParameter(f"parameter {name} is out of range: {text[:60]}")
    return value


def _real(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidParameter(f"parameter {name} must be a number, not {text[:60]!r}") from None
    if not math.isfinite(value):
        raise InvalidParameter(f"parameter {name} must be a finite number")
    return value


def _date(name: str, text: str) -> float:
    for pattern in ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            moment = dt.datetime.strptime(text, pattern)  # noqa: DTZ007 - a date without zone is UTC, set below
        except ValueError:
            continue
        if pattern == "%Y-%m-%d" and name == "enddate":
            moment = moment.replace(hour=23, minute=59, second=59)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return moment.timestamp()
    raise InvalidParameter(
        f"parameter {name} must be a date such as 2026-01-31, 2026-01-31 13:00:00 or 2026-01-31T13:00:00+0000, "
        f"not {text[:60]!r}"
    )
