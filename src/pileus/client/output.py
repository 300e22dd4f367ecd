"""Answers for people: tables of the fields that matter, or JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

FIRST = ("id", "name", "displayname", "state", "status", "type", "ipaddress", "zonename", "hypervisor", "account")
WIDEST = 8  # columns of a table
_WIDE = 240  # characters of a line that goes into a file or a pipe


def show(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer of the API: JSON, or a table of its objects, or its fields one a line."""
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
        return
    rows = _rows(answer)
    if rows is None:
        _print_fields(answer)
    elif len(rows) == 1:
        _print_fields(rows[0])
    else:
        _print_table(rows)


def columns(rows: list[dict[str, Any]]) -> list[str]:
    """Choose the columns of a table: the well-known fields first, then what else is short, present and telling."""
    present = [name for name in FIRST if any(name in row for row in rows)]
    for row in rows:
        for name, value in row.items():
            telling = isinstance(value, (str, int, float)) and not name.endswith("id") and len(str(value)) <= 24
            if telling and name not in present and len(present) < WIDEST:
                present.append(name)
    return present[:WIDEST]


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the objects of a list command's answer (a count and one list); None when it is an object."""
    if not answer:
        return []
    lists = [value for name, value in answer.items() if name != "count"]
    if len(lists) != 1 or not isinstance(lists[0], list):
        return None
    items: list[Any] = lists[0]  # pyright: ignore[reportUnknownVariableType]
    return items if all(isinstance(item, dict) for item in items) else None


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        sys.stdout.write("nothing found\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    names = columns(rows)
    for name in names:
        table.add_column(name, no_wrap=name == "id", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name, "")) for name in names))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table, markup=False)


def _print_fields(row: dict[str, Any]) -> None:
    width = max((len(name) for name in row), default=0)
    for name in sorted(row, key=lambda field: (FIRST.index(field) if field in FIRST else len(FIRST), field)):
        sys.stdout.write(f"{name:<{width}}  {_cell(row[name])}\n")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
