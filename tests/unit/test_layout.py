"""Rules of the code's shape that hold without exception."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 600  # lines; split by subject before it comes to that
SOURCES = sorted((ROOT / "src").rglob("*.py"))
IO_MODULES = {
    "socket",
    "subprocess",
    "sqlite3",
    "sqlalchemy",
    "httpx",
    "requests",
    "os",
    "shutil",
    "pyroute2",
    "libvirt",
}


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "scripts"])
def test_no_file_is_too_long(folder):
    long = {
        str(file.relative_to(ROOT)): lines
        for file in (ROOT / folder).rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > LARGEST
    }
    assert long == {}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("part", ["dataplane", "scheduling", "wire"])
def test_pure_parts_import_nothing_that_does_io(part):
    found = {
        (file.name, name)
        for file in (ROOT / "src/pileus" / part).rglob("*.py")
        for name in imports(file)
        if name.split(".")[0] in IO_MODULES
    }
    assert found == set()


def test_models_import_nothing_that_does_io():
    found = {
        (str(file.relative_to(ROOT)), name)
        for file in SOURCES
        if file.name == "model.py"
        for name in imports(file)
        if name.split(".")[0] in IO_MODULES
    }
    assert found == set()


def test_a_slice_never_imports_another_one_s_commands_or_workflows():
    slices = ("identity", "infrastructure", "images", "storage", "network", "compute")
    found = set()
    for file in SOURCES:
        own = file.relative_to(ROOT / "src/pileus").parts[0]
        for name in imports(file):
            parts = name.split(".")
            foreign = parts[0] == "pileus" and len(parts) > 2 and parts[1] in slices and parts[1] != own
            if own in slices and foreign and parts[2] in ("commands", "workflows"):
                found.add((str(file.relative_to(ROOT)), name))
    assert found == set()


def test_every_module_says_what_it_is():
    silent = [
        str(file.relative_to(ROOT))
        for file in SOURCES
        if file.read_text().strip() and ast.get_docstring(ast.parse(file.read_text())) is None
    ]
    assert silent == []


def test_no_shell_and_no_unbounded_subprocess():
    found = set()
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            named = {keyword.arg for keyword in node.keywords}
            if "shell" in named:
                found.add((str(file.relative_to(ROOT)), node.lineno, "a shell"))
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if (
                owner == "subprocess"
                and node.func.attr in ("run", "check_output", "check_call")
                and "timeout" not in named
            ):
                found.add((str(file.relative_to(ROOT)), node.lineno, "no timeout"))
    assert found == set()
