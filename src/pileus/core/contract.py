"""The wire contract as data: what each command of the CloudStack API takes and answers.

``contract.json`` holds facts only (names, types, flags).  A command class declares what is built; whatever the
contract has beyond that is refused by name, so that nothing is silently ignored.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import msgspec


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter of a command."""

    type: str  # boolean date double float integer list long map short string uuid
    required: bool = False
    of: str = ""  # element type of a list
    ref: str = ""  # kind of object that a uuid names
    keys: list[str] = []  # sub-keys of a map; "*" = free
    maxlength: int = 255
    roles: list[str] = []  # only these may pass it, ignored for others
    since: str = ""
    validate: list[str] = []


class CommandContract(msgspec.Struct, frozen=True, rename={"is_async": "async"}):
    """What the contract says of one command."""

    kind: str  # list object success flat
    group: str
    is_async: bool = False
    create: bool = False  # the first answer of an async command holds the new object's id
    response: str = ""  # inner key
    wrapper: str = ""  # outer key, when odd
    object: str = ""
    documented_object: str = ""
    roles: list[str] = []
    anonymous: bool = False
    http: str = "GET"
    since: str = ""
    params: dict[str, Parameter] = {}


class Contract(msgspec.Struct, frozen=True):
    """The whole contract."""

    commands: dict[str, CommandContract]
    objects: dict[str, dict[str, Any]]
    notes: dict[str, dict[str, Any]]


@cache
def load() -> Contract:
    """Read the contract (once)."""
    raw = resources.files("pileus.core").joinpath("contract.json").read_bytes()
    return msgspec.json.decode(raw, type=Contract)


def wrapper_of(name: str) -> str:
    """Return the outer key of a command's answer."""
    known = load().commands.get(name)
    return known.wrapper if known and known.wrapper else name.lower() + "response"
