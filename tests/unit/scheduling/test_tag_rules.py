"""Tag rules: what they say of an offering's tags, and what is no rule."""

from __future__ import annotations

import pytest

from pileus.scheduling.tag_rules import RuleError, compiled


@pytest.mark.parametrize(
    ("rule", "taken", "refused"),
    [
        ("tags[0] == 'slow' || tags[1] == \"fast\"", ["slow,fast"], ["fast,slow", "fast"]),
        ("tags.indexOf('slow') >= 0 || tags.indexOf('fast') >= 0", ["slow,fast", "fast,slow", "fast"], ["ssd"]),
        ("tags.includes('a') && !tags.includes('b')", ["a", "c,a"], ["a,b", "b"]),
        ("!(tags.length > 1) && tags[0] !== 'x'", ["a"], ["a,b", "x"]),
        ("tags.indexOf('a') != -1", ["a"], ["b"]),
        ("tags[3] == tags[4]", ["a"], []),
        ("true", ["a"], [""]),
        ("tags.length", [], ["a"]),
    ],
)
def test_rules_say_which_offerings_are_taken(rule: str, taken: list[str], refused: list[str]) -> None:
    for tags in taken:
        assert compiled(rule)(tags.split(",")), tags
    for tags in refused:
        assert not compiled(rule)([tag for tag in tags.split(",") if tag]), tags


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "tags[",
        "tags[0] = 'a'",
        "host == 'a'",
        "tags.push('a')",
        "function() { return true }",
        "tags[0] == 'a' tags[1]",
        "while(true){}",
        "(" * 100 + "true" + ")" * 100,
        "tags.indexOf('a')" + " " * 5000,
        "tags[0] == 'it\\'s'",
        "\x00",
    ],
)
def test_anything_else_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        compiled(rule)
