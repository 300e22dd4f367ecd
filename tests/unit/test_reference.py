"""The reference names every command of the registry with its parameters, and no others; `make docs` writes it."""

from __future__ import annotations

import re
from pathlib import Path

from pileus.core import commands, plugins

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api"


def test_the_reference_is_that_of_these_commands():
    plugins.load_all()
    written: dict[str, set[str]] = {}
    for page in PAGES.glob("*.md"):
        if page.name == "README.md":
            continue
        for part in page.read_text().split("\n## ")[1:]:
            name = part.splitlines()[0].strip()
            written[name] = set(re.findall(r"^\| `([^`]+)` ", part, re.MULTILINE))
    registered = {name: set(spec.fields) for name, spec in commands.commands().items()}
    assert {name: fields for name, fields in registered.items() if written.get(name) != fields} == {}, "run make docs"
    assert sorted(written.keys() - registered.keys()) == [], "run make docs"
