"""What the documentation names is there: pages, commands of the command line and of the API, settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pileus.agent.main import app as agent
from pileus.client.main import app
from pileus.core import commands, plugins, settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"])
WRITTEN = [page for page in PAGES if "reference/api" not in page.as_posix() or page.name == "api-edge.md"]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w/.@\-])(?:\.venv/bin/)?pileus ((?:agent |template )?[a-z]+)\b")
QUOTED = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
API = re.compile(r"\b(?:api|new)(?: --(?:data|profile) \S+)? ((?:[a-z]+)[A-Z]\w+)")
TABLE = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \|", re.MULTILINE)
UPDATED = re.compile(
    r"(?:updateConfiguration|update configuration|reset configuration|resetConfiguration) name=([\w.]+)"
)
SETTING = re.compile(r"\(?settings? `([\w.]+)`")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index():
    start = ROOT / "docs/README.md"
    reached, left = {start}, [start]
    while left:
        page = left.pop()
        for link in LINK.findall(page.read_text()):
            target = (page.parent / link.partition("#")[0]).resolve()
            if "://" in link or target in reached or not target.exists():
                continue
            reached.add(target)
            if target.suffix == ".md":
                left.append(target)
            elif target.is_dir():
                reached.update(target.rglob("*.md"))
    assert {name(page) for page in (ROOT / "docs").rglob("*.md") if page not in reached} == set()


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_commands_of_the_command_line_exist(page):
    known = (
        {each for each in app if not each.startswith("-")} | {f"agent {each}" for each in agent} | {"template build"}
    )
    quoted = "\n".join(QUOTED.findall(page.read_text()))
    named = {found.strip() for found in COMMAND.findall(quoted)}
    assert {each for each in named if each not in known} == set()


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_commands_of_the_api_exist(page):
    plugins.load_all()
    named = set(API.findall("\n".join(QUOTED.findall(page.read_text()))))
    assert named - set(commands.commands()) == set()


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_settings_exist(page):
    plugins.load_all()
    text = page.read_text()
    named = set(UPDATED.findall(text)) | set(SETTING.findall(text))
    if page.name == "settings.md":
        named |= {each for row in TABLE.findall(text) for each in re.findall(r"`([^`]+)`", row)}
    assert named - set(settings.declared()) == set()


def test_decisions_say_their_status_and_are_listed():
    index = (ROOT / "docs/decisions/README.md").read_text()
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert pages
    assert [name(page) for page in pages if not re.search(r"^Status: \w+", page.read_text(), re.MULTILINE)] == []
    assert [name(page) for page in pages if f"({page.name})" not in index] == []


def test_every_dependency_has_its_reason():
    project = (ROOT / "pyproject.toml").read_text()
    block = project.split("dependencies = [", 1)[1].split("]\n", 1)[0]
    named = re.findall(r'^\s*"([A-Za-z0-9.-]+)', block, re.MULTILINE)
    reasons = (ROOT / "docs/decisions/0013-dependencies.md").read_text()
    assert [each for each in named if f"`{each}`" not in reasons] == []
