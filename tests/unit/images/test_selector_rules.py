"""Rules that choose an image store: the documented examples, the language around them, and its bounds."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.images.rules import RuleError, compiled

GIVEN: dict[str, Any] = {
    "secondaryStorages": [
        {"id": "a", "name": "slow", "usedDiskSize": 10.0, "totalDiskSize": 100.0, "protocol": "nfs"},
        {"id": "b", "name": "fast", "usedDiskSize": 80.0, "totalDiskSize": 100.0, "protocol": "nfs"},
    ],
    "template": {"name": "debian", "format": "QCOW2", "hypervisorType": "KVM", "templateType": "USER"},
    "account": {"id": "x", "name": "me", "domain": {"id": "d1", "name": "one"}},
}


def said(rule: str) -> Any:
    return compiled(rule, frozenset(GIVEN)).value(GIVEN)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("function f(pool) {\n  return pool.id === 'b';\n}\n\nsecondaryStorages.filter(f)[0].id", "b"),
        ("if (template.format === 'QCOW2') { 'a' } else if (template.format === 'VHD') { 'b' }", "a"),
        ("if (template.format === 'VHD') {\n 'a';\n} else if (template.format === 'QCOW2') {\n 'b';\n}", "b"),
        ("if (account.domain.id == 'd2') { 'a' }", None),
        ("secondaryStorages.find(s => s.name == 'fast').id", "b"),
        ("secondaryStorages.sort((x, y) => y.usedDiskSize - x.usedDiskSize)[0].id", "b"),
        ("var best; for (var i = 0; i < secondaryStorages.length; i++) { if (secondaryStorages[i].name == 'fast') "
         "best = secondaryStorages[i] } best.id", "b"),
        ("let n = 0; for (const s of secondaryStorages) { if (s.id == 'a') continue; n += s.usedDiskSize } n", 80.0),
        ("let i = 0; while (true) { if (++i > 3) break } i", 4.0),
        ("secondaryStorages.reduce((x, y) => x.usedDiskSize / x.totalDiskSize < y.usedDiskSize / y.totalDiskSize "
         "? x : y).id", "a"),
        ("template.name.toLowerCase().startsWith('deb') && !account.name.includes('z') ? 'a' : 'b'", "a"),
        ("['a', 'b'].indexOf('b') + 1 * 2 - -1", 4.0),
        ("template.nothing || 'b' // else", "b"),
        ("(function () { return Math.max(1, 2) + ':' + String(3) })()", "2:3"),
        ("function up(n) { return n > 3 ? n : up(n + 1) } up(0)", 4.0),
        ("typeof template.nothing === 'undefined' ? 'a' : 'b'", "a"),
        ("1 / 0 > 5", True),
    ],
)  # fmt: skip
def test_what_rules_say(rule: str, value: Any) -> None:
    assert said(rule) == value


@pytest.mark.parametrize(
    "rule",
    [
        "", "  // nothing", "if (", "'a", "var = 1", "a.b", "snapshot.size", "this", "new Date()", "'a' 'b'", "x => ",
        "import os", "`a`", "({})", "(" * 500 + "1" + ")" * 500, "!" * 3000 + "1", "{" * 3000, "template.format = 'x'",
        "\x00", "'a'" + " " * 70_000,
    ],
)  # fmt: skip
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(RuleError):
        compiled(rule, frozenset(GIVEN))


@pytest.mark.parametrize(
    "rule",
    [
        "while (true) {}",
        "for (;;) 1",
        "function f() { return f() } f()",
        "let s = 'x'; while (true) s = s + s",
        "let l = ['x']; while (true) l.push(l.slice(0))",
        "secondaryStorages.filter(s => s.id == 'z')[0].id",
        "template.name()",
        "template.format.__class__",
        "secondaryStorages.filter(1)",
        "return 'a'",
        "break",
        "+".join(["1"] * 20_000),
        "let x = y; let y = 1",
        "[].reduce((a, b) => a)",
        "'a'.split(1, 2, 3)",
    ],
)
def test_what_fails(rule: str) -> None:
    with pytest.raises(RuleError):
        said(rule)
