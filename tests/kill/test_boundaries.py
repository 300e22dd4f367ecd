"""kill -9 between any two steps: after the next start every job has ended, and all the records agree.

Every point that a call reaches is a death of its own: before and after each step's commit, of each job that it starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kill.harness import Dying, deploy, disagreements, furnish
from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dying]:
    process = Dying(tmp_path_factory.mktemp("dying") / "log")
    yield process
    process.close()


SCENARIOS = {
    "deploy and network implement": lambda ids: [deploy(ids, "fresh")],
    "deploy": lambda ids: [deploy(ids, "used")],
    "start": lambda ids: [["startVirtualMachine", {"id": ids["stopped"]}]],
    "stop": lambda ids: [["stopVirtualMachine", {"id": ids["running"]}]],
    "reboot with a new disk": lambda ids: [["rebootVirtualMachine", {"id": ids["volatile"]}]],
    "scale": lambda ids: [["scaleVirtualMachine", {"id": ids["stopped"], "serviceofferingid": ids["small"]}]],
    "destroy": lambda ids: [["destroyVirtualMachine", {"id": ids["running"], "expunge": "true"}]],
    "network restart": lambda ids: [["restartNetwork", {"id": ids["used"], "cleanup": "true"}]],
    "network delete": lambda ids: [["deleteNetwork", {"id": ids["fresh"]}]],
}


def batched(point: list[Any]) -> bool:
    """Tell whether a point is the courier's, who takes as many answers at once as have come: their number varies."""
    return point[0].startswith("courier/")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A furnished cloud on SQLite, shut down; its folder is copied for each death."""
    folder = tmp_path_factory.mktemp("base")
    with Cloud.start(folder) as cloud:
        ids = furnish(cloud)
    return folder, ids


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_boundary_on_sqlite(name: str, base: tuple[Path, dict[str, str]], dying: Dying, tmp_path: Path) -> None:
    folder, ids = base
    calls = SCENARIOS[name](ids)
    first = shutil.copytree(folder, tmp_path / "whole")
    whole = dying.run(first, "", calls, None)
    assert whole is not None
    assert whole["quiet"]
    assert disagreements(f"sqlite:///{first}/server/pileus.db") == []
    assert whole["reached"], "the call reached no step at all"
    for number, point in enumerate(whole["reached"]):
        copy = shutil.copytree(folder, tmp_path / f"death{number}")
        died = dying.run(copy, "", calls, point) is None
        assert died or batched(point), f"{point} was not reached the second time"
        after = dying.run(copy, "", [], None)
        assert after is not None
        assert after["quiet"], f"jobs were still open after death at {point}"
        assert disagreements(f"sqlite:///{copy}/server/pileus.db") == [], f"after death at {point}"
        shutil.rmtree(copy)


@pytest.mark.postgres
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_boundary_on_postgresql(name: str, postgres_server: str, dying: Dying, tmp_path: Path) -> None:
    with fresh_database(postgres_server, "kill_base") as url:
        with Cloud.start(tmp_path / "base", database=url) as cloud:
            calls = SCENARIOS[name](furnish(cloud))
        folder = tmp_path / "base"
        reached = _deaths(postgres_server, url, folder, calls, dying, None)
        assert reached
        for point in reached:
            _deaths(postgres_server, url, folder, calls, dying, point)


def _deaths(
    server: str, base: str, folder: Path, calls: list[Any], dying: Dying, die: list[Any] | None
) -> list[list[Any]]:
    """Run the calls on a copy of the base, dying at a point or not at all; check; return what was reached."""
    with fresh_database(server, "kill_copy", template="kill_base") as url:
        first = dying.run(folder, url, calls, die)
        assert first is not None or die is not None
        assert first is None or die is None or batched(die), f"{die} was not reached the second time"
        after = dying.run(folder, url, [], None)
        assert after is not None
        assert after["quiet"], f"jobs were still open after death at {die}"
        assert disagreements(url) == [], f"after death at {die}"
        return first["reached"] if first is not None else []
