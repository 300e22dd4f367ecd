"""Rendering: answers as JSON or as CloudStack's XML, dates as its clients read them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, cast
from xml.sax.saxutils import escape, quoteattr

import msgspec

from pileus.core import contract
from pileus.core.errors import ApiError

API_VERSION = "4.22.1.0"
"""The version of the CloudStack API that is spoken."""

JSON_TYPE = "application/json; charset=UTF-8"
XML_TYPE = "text/xml; charset=UTF-8"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    """An answer: the HTTP status and ``{wrapper: content}``."""

    status: int
    body: dict[str, Any]
    description: str = ""  # header X-Description of a refusal


def date(seconds: float | None) -> str | None:
    """Return a point in time as the API writes it: 2026-01-31T13:00:00+0000 (None stays None)."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(seconds))


def refusal(wrapper: str, error: ApiError) -> Answer:
    """Return the answer for an error."""
    return Answer(error.code, {wrapper: error_body(error)}, error.text)


def error_body(error: ApiError) -> dict[str, Any]:
    """Return an error as the API writes it."""
    return {
        "uuidList": [{"uuid": uuid, "description": text} for uuid, text in error.uuids],
        "errorcode": error.code,
        "cserrorcode": error.cserrorcode,
        "errortext": error.text,
    }


_PLAIN = frozenset({str, int, bool, float})
"""Types of values with nothing in them."""


def without_nulls(value: Any) -> Any:
    """Return the value without the null fields of any object in it."""
    # Every field of every answer passes here: most are plain, so these are told apart by their type alone, or empty.
    if isinstance(value, dict):
        found = cast(dict[str, Any], value)
        return {
            name: inner if type(inner) in _PLAIN or not inner else without_nulls(inner)
            for name, inner in found.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [item if type(item) in _PLAIN else without_nulls(item) for item in cast(list[Any], value)]
    return value


def json(body: dict[str, Any]) -> bytes:
    """Return the body as JSON."""
    return _encode(without_nulls(body))


def xml(body: dict[str, Any]) -> bytes:
    """Return the body as XML: a list repeats the element of its key, as CloudStack writes it."""
    (wrapper, content), *_ = body.items()
    parts = [f'<?xml version="1.0" encoding="UTF-8"?><{wrapper} cloud-stack-version="{API_VERSION}">']
    parts.extend(_inner(content))
    parts.append(f"</{wrapper}>")
    return "".join(parts).encode()


def _inner(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            yield from _element(name, inner)
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif value is not None:
        yield escape(_NOT_XML.sub("", str(value)))


def _element(name: str, value: Any) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _element(name, item)
        return
    if _NAME.match(name):
        opening, closing = f"<{name}>", f"</{name}>"
    else:  # a free key (of details, say) that is no XML name
        opening, closing = f"<entry name={quoteattr(_NOT_XML.sub('', name))}>", "</entry>"
    yield opening
    yield from _inner(value)
    yield closing


def wrapper_of(name: str, *, error: bool = False) -> str:
    """Return the outer key of a command's answer, or of its refusal."""
    if error and name == "updateImageStore":  # the contract: its errors come under another key
        return name
    return contract.wrapper_of(name)
