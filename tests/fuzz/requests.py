"""Requests made up from the registry of commands: right names with values of any kind, and wrong names."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from pileus.core import commands
from pileus.core.commands import CommandSpec
from pileus.core.parameters import Field

LEFT_OUT = {"triggerShutdown", "prepareForShutdown", "prepareForMaintenance", "removeManagementServer"}
"""Commands that end the server; updateConfiguration may make it refuse everything."""
LEFT_OUT |= {"updateConfiguration", "resetConfiguration", "configureSimulator"}

_ODD = [
    "", " ", "0", "-1", "1", "2", "500", "501", "4294967296", "-9223372036854775809", "1" * 25, "1e400", "NaN",
    "0x10", "true", "TRUE", "null", "undefined", "%00", "\x00", "a\x1bb", "\r\nX-Injected: 1", "' OR 1=1 --",
    "\"><script>&]]>", "${jndi:x}", "../../etc/passwd", "ünïcödé", "😀" * 70, "\ufffe\uffff", "\u202e",
    "a" * 256, "a" * 5000, ",", ",,,", "a,b,c", "[]", "{}", "10.1.1.0/24", "10.1.1.1", "255.255.255.0",
    "0.0.0.0/0", "999.1.1.1", "::1", "10.0.0.0/33", "2001:db8::/32", "1-5", "5-1", "untagged", "vlan://1",
    "http://sim/x/y", "file:///", "nfs://a/b", "http://[", "tcp", "icmp", "Enabled", "Disabled", "Isolated",
    "Advanced", "Basic", "KVM", "Simulator", "all", "QCOW2", "2026-01-31", "2026-13-45", "9999-12-31",
    "0001-01-01T00:00:00+2359", "None", "user", "Admin", "list*", "*", "UserVm", "Zone", "CPU", "cpu", "memory",
]  # fmt: skip


def values(field: Field, ids: Mapping[str, list[str]]) -> st.SearchStrategy[str]:
    """Return texts for a parameter: of its kind, of another kind, or odd ones."""
    odd = st.sampled_from(_ODD)
    chaos = st.text(st.characters(codec="utf-8"), max_size=40)
    any_id = st.sampled_from(sorted({i for many in ids.values() for i in many}))
    by_kind: dict[str, st.SearchStrategy[str]] = {
        "int": st.integers(-10, 70_000).map(str),
        "float": st.floats(allow_nan=False, width=32).map(str),
        "bool": st.sampled_from(["true", "false"]),
        "str": st.sampled_from(["name", "x", "Enabled", "tcp", "10.1.1.1"]) | st.text(max_size=20),
        "date": st.dates().map(str),
    }
    known = ids.get(field.wire.ref, [])
    right = st.sampled_from(known) if known else any_id
    made_up = st.uuids().map(str)
    if "ref" in field.kind:
        return right | right | made_up | any_id | odd
    return st.one_of(by_kind.get(field.kind, odd), by_kind.get(field.kind, odd), odd, chaos, any_id)


@st.composite
def requests(draw: st.DrawFn, ids: Mapping[str, list[str]]) -> tuple[str, list[tuple[str, str]]]:
    """Return a command's name and its parameters, some of them missing, repeated, unknown or misspelt."""
    specs: list[CommandSpec] = [s for name, s in sorted(commands.commands().items()) if name not in LEFT_OUT]
    spec = draw(st.sampled_from(specs))
    pairs: list[tuple[str, str]] = []
    for field in spec.fields.values():
        if not draw(st.sampled_from([True] * 9 + [False]) if field.required else st.sampled_from([True, False, False])):
            continue
        if field.kind in ("map", "entries"):
            index, key = draw(st.sampled_from(["0", "1", "99", "x", "-1"])), draw(st.sampled_from(_KEYS))
            pairs.append((f"{field.name}[{index}].{key}", draw(values(field, ids))))
            continue
        pairs.append((field.name, draw(values(field, ids))))
        if draw(st.integers(0, 19)) == 0:
            pairs.append((field.name, draw(values(field, ids))))
    if draw(st.integers(0, 9)) == 0:
        pairs.append(
            (
                draw(st.sampled_from(["page", "pagesize", "[", "a[0]", "x[0].y", "ids", "", "\u00e9"])),
                draw(st.sampled_from(_ODD)),
            )
        )
    if draw(st.integers(0, 49)) == 0:
        return draw(
            st.sampled_from([spec.name.lower(), spec.name + "s", str(uuid.UUID(int=0)), "\x00", "list\nZones"])
        ), pairs
    return spec.name, pairs


_KEYS = ["key", "value", "service", "provider", "cpuNumber", "memory", "", "a.b", "é", "networkid", "ip"]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, str]:
    """Return what a server makes of repeated parameters: the last of each."""
    return {name: str(value) for name, value in pairs}
