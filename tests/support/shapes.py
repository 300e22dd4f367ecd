"""Whether an answer has the shape that the contract gives it: keys, fields, and types of their values.

Every answer that a test gets through ``Cloud.api`` and ``Cloud.wait`` passes here, so that no field goes out that
clients do not know, or as another type than they read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pileus.core import contract

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000\Z")
_OTHERWISE = {
    # The contract has the internal number here; clients read a string (as of every other address), and can look it up.
    ("IpForwardingRuleResponse", "ipaddressid"): "string",
}
_WHOLE = {"short": 15, "integer": 31, "long": 63}


def check(command: str, content: dict[str, Any], *, result: bool = False) -> None:
    """Raise AssertionError when what is in the wrapper (or is a job's ``result``) is not of the contract's shape."""
    wire = contract.load().commands[command]
    wrong = list(_result(wire, content) if result or not wire.is_async else _submitted(wire, content))
    if wrong:
        raise AssertionError(f"the answer of {command} is not what the contract says: " + "; ".join(sorted(set(wrong))))


def _submitted(wire: contract.CommandContract, content: dict[str, Any]) -> Iterator[str]:
    expected = {"jobid", "id"} if wire.create else {"jobid"}
    if set(content) != expected:
        yield f"a submitted job answers {sorted(expected)}, not {sorted(content)}"


def _result(wire: contract.CommandContract, content: dict[str, Any]) -> Iterator[str]:
    if wire.kind == "success":
        yield from _success(content)
    elif wire.kind == "flat" or not wire.response:  # the contract does not know every key
        yield from _object(wire.object, content, "")
    elif wire.kind == "list":
        # An asynchronous list is one object with count and list in it, under the list's own key.
        yield from _list(wire, content[wire.response] if wire.is_async else content)
    else:
        if list(content) != [wire.response]:
            yield f"keys {sorted(content)} instead of {wire.response!r}"
        for value in content.values():
            yield from _object(wire.object, value, "")


def _success(content: dict[str, Any]) -> Iterator[str]:
    if content.get("success") is not True or set(content) - {"success", "displaytext", "details"}:
        yield f"a plain success is {{'success': true}}, not {content}"


def _list(wire: contract.CommandContract, content: dict[str, Any]) -> Iterator[str]:
    if set(content) - {"count", wire.response}:
        yield f"keys {sorted(content)} instead of count and {wire.response!r}"
    if "count" in content and (type(content["count"]) is not int or content["count"] < 1):
        yield f"count is {content['count']!r}"
    for item in content.get(wire.response, []):
        yield from _object(wire.object, item, "")


def _object(name: str, value: Any, path: str) -> Iterator[str]:
    fields = contract.load().objects.get(name)
    if fields is None or name == "ListResponse":  # a list of anything
        return
    if not isinstance(value, dict):
        yield f"{path or name} is {value!r:.80}, not an object"
        return
    for field, inner in value.items():
        if field not in fields:
            yield f"{path}{field} is no field of {name}"
        else:
            yield from _value(_OTHERWISE.get((name, field), fields[field]), inner, f"{path}{field}")


def _value(kind: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(kind, list) or (isinstance(kind, str) and kind.startswith("list<")):
        inner = kind[0] if isinstance(kind, list) else kind[5:-1]
        if not isinstance(value, list):
            yield f"{path} is {value!r:.80}, not a list"
            return
        for item in value:
            yield from _value(inner, item, path)
    elif kind.startswith("@"):
        yield from _object(kind[1:], value, path + ".")
    elif not _scalar(kind, value):
        yield f"{path} is {value!r:.80}, not {kind}"


def _scalar(kind: str, value: Any) -> bool:
    if kind in _WHOLE:
        return type(value) is int and -(2 ** _WHOLE[kind]) <= value < 2 ** _WHOLE[kind]
    if kind == "date":
        return isinstance(value, str) and bool(DATE.match(value))
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "boolean": (bool,),
        "double": (int, float),
        "float": (int, float),
        "map": (dict,),
        "any": (object,),
    }
    return isinstance(value, types[kind]) and (kind in ("boolean", "any") or not isinstance(value, bool))
