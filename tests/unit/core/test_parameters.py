"""Parameters: from text to values, by the rules of the wire."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.core import contract, parameters
from pileus.core.errors import ApiError, InvalidParameter, MissingParameter
from pileus.core.parameters import Field


def field(kind: str, *, name: str = "p", required: bool = False, default: Any = None, **wire: Any) -> Field:
    type_ = {"str": "string", "int": "integer", "bool": "boolean", "float": "float"}.get(kind, kind)
    parameter = contract.Parameter(**({"type": type_} | wire))
    return Field(name=name, kind=kind, required=required, default=default, wire=parameter)


def read(declared: Field, **raw: str) -> Any:
    return parameters.convert(declared, raw, parameters.gather_maps(raw))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "true", True),
        ("bool", "TRUE", True),
        ("bool", "yes", False),
        ("bool", "1", False),
        ("int", " 42 ", 42),
        ("int", "-1", -1),
        ("int", "  ", None),
        ("float", "1.5", 1.5),
        ("float", "", None),
        ("str", " kept as it is ", " kept as it is "),
        ("str", "", ""),
        ("list[str]", "a, b,,c", ["a", "b", "c"]),
        ("list[int]", "1,2", [1, 2]),
        ("date", "2026-01-31", 1769817600.0),
        ("date", "2026-01-31 13:00:00", 1769864400.0),
        ("date", "2026-01-31T14:00:00+0100", 1769864400.0),
    ],
)
def test_values(kind: str, text: str, value: Any):
    assert read(field(kind), p=text) == value


def test_the_end_of_a_day_is_its_last_second():
    assert read(field("date", name="enddate"), enddate="2026-01-31") == 1769817600.0 + 86399


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "4.2"),
        ("int", "0x10"),
        ("int", str(2**31)),
        ("float", "nan"),
        ("float", "inf"),
        ("float", "much"),
        ("date", "31.01.2026"),
        ("str", "x" * 256),
        ("str", "a\x00b"),
        ("list[int]", "1,two"),
    ],
)
def test_what_is_refused_is_named(kind: str, text: str):
    with pytest.raises(InvalidParameter) as refused:
        read(field(kind), p=text)
    assert "parameter p" in refused.value.text


def test_lines_and_tabs_are_text_but_other_control_characters_are_not():
    assert read(field("str"), p="a\tb\nc") == "a\tb\nc"


@pytest.mark.parametrize("raw", [{}, {"p": ""}, {"p": " "}])
def test_required_means_not_empty(raw: dict[str, str]):
    with pytest.raises(MissingParameter):
        read(field("str", required=True), **raw)


def test_free_maps_merge_all_indices():
    raw = {"details[0].cpuNumber": "2", "DETAILS[1].memory": "512"}
    assert read(field("map", name="details"), **raw) == {"cpuNumber": "2", "memory": "512"}
    raw = {"details[0].key": "a", "details[0].value": "1", "details[1].key": "b", "details[1].value": "2"}
    assert read(field("map", name="details"), **raw) == {"a": "1", "b": "2"}


def test_named_maps_keep_their_entries_and_the_case_of_their_fields():
    raw = {"list[10].ip4Address": "b", "list[2].ip4Address": "a", "list[2].id": "x", "list[bad].id": "y"}
    assert read(field("entries", name="list"), **raw) == [{"ip4Address": "a", "id": "x"}, {"ip4Address": "b"}]


def test_control_characters_in_maps_are_refused():
    with pytest.raises(ApiError):
        read(field("map", name="details"), **{"details[0].a": "\x07"})
