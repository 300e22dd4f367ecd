"""Discovery: what listApis says of each command, made from the registry and the contract."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pileus.core import commands, contract, entities
from pileus.core.commands import CommandSpec

_SCALARS = {"any": "object"}


def describe(spec: CommandSpec, visible: Iterable[CommandSpec]) -> dict[str, Any]:
    """Return a command as listApis shows it; ``visible``: the commands that may be named as related."""
    related = _related(spec, visible)
    return {
        "name": spec.name,
        "description": spec.description,
        "isasync": spec.wire.is_async,
        "related": ",".join(related),
        "since": spec.wire.since or None,
        "params": list(_parameters(spec)),
        "response": _fields(spec.wire.documented_object or spec.wire.object, depth=1),
    }


def _related(spec: CommandSpec, visible: Iterable[CommandSpec]) -> list[str]:
    if not spec.wire.object:
        return []
    return [other.name for other in visible if other.wire.object == spec.wire.object and other.name != spec.name]


def _parameters(spec: CommandSpec) -> Iterable[dict[str, Any]]:
    for name, wire in spec.wire.params.items():
        if name.lower() in spec.later:
            continue
        yield {
            "name": name,
            "description": _parameter_text(name, wire),
            "type": wire.type,
            "length": wire.maxlength,
            "required": wire.required,
            "since": wire.since or None,
            "related": ",".join(_lists_of(wire.ref)) or None,
        }
    if spec.wire.is_async:
        yield {
            "name": "customjobid",
            "description": "the UUID that the job shall have",
            "type": "string",
            "length": 36,
            "required": False,
        }


def _parameter_text(name: str, wire: contract.Parameter) -> str:
    if wire.ref:
        entity = entities.known(wire.ref)
        label = entity.label if entity else wire.ref
        return f"the IDs of objects of the kind {label}" if wire.type == "list" else f"the ID of the {label}"
    if wire.type == "map":
        keys = "a free key" if wire.keys == ["*"] or not wire.keys else " and ".join(wire.keys)
        return f"a map: {name}[0].field=value with {keys} for field"
    if wire.type == "list":
        return f"{name}: a comma separated list"
    return f"{name} ({wire.type})"


@lru_cache(maxsize=4096)
def _lists_of(kind: str) -> tuple[str, ...]:
    """Return the list commands in whose answers the ids of a kind of object are found, the plainest first.

    CloudMonkey completes ids by the first of them.
    """
    named = {f"list{kind}s", f"list{kind.removesuffix('y')}ies"}
    found = [
        spec.name
        for spec in commands.commands().values()
        if kind
        and spec.name.startswith("list")
        and spec.wire.kind == "list"
        and (spec.name in named or spec.wire.object == f"{kind}Response")
    ]
    return tuple(sorted(found, key=lambda name: (name not in named, len(name), name)))


def _fields(object_: str, *, depth: int) -> list[dict[str, Any]]:
    """Return the fields of an object; objects in it with their own fields, ``depth`` levels down."""
    return [_field(name, type_, depth) for name, type_ in contract.load().objects.get(object_, {}).items()]


def _field(name: str, type_: Any, depth: int) -> dict[str, Any]:
    listed = isinstance(type_, list)
    inner = str(type_[0]) if isinstance(type_, list) else str(type_)  # pyright: ignore[reportUnknownArgumentType]
    field: dict[str, Any] = {"name": name, "description": name}
    if inner.startswith("@"):
        field["type"] = "list" if listed else inner[1:].lower()
        if depth:
            field["response"] = _fields(inner[1:], depth=depth - 1)
    else:
        field["type"] = "list" if listed or inner.startswith("list") else _SCALARS.get(inner, inner)
    return field


@lru_cache(maxsize=16)
def catalogue(allowed: frozenset[str]) -> list[dict[str, Any]]:
    """Return the commands that a caller may call, by name."""
    visible = [spec for name, spec in sorted(commands.commands().items()) if name in allowed]
    return [describe(spec, visible) for spec in visible]
