"""Lanes: quick work stays in the loop, slow work goes to threads, and what is interrupted is run again."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.core import commands, lanes, plugins
from pileus.core.database import Database
from pileus.core.lanes import QUICK, Expired, Lanes, overdue


def burn(seconds: float) -> None:
    """Use so much processor time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_quick_work_is_done_in_the_loop_and_other_work_by_a_thread():
    async def ask() -> tuple[int, int]:
        each = Lanes(2)
        return await each.run(threading.get_ident, kind="quick"), await each.run(threading.get_ident)

    here, elsewhere = asyncio.run(ask())
    assert here == threading.get_ident()
    assert elsewhere != here


def test_what_was_slow_goes_to_threads_for_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes, "_FIRST_PAUSE", 0.2)

    async def ask() -> list[bool]:
        each, here = Lanes(2), threading.get_ident()

        def slow() -> bool:
            burn(1.5 * QUICK)
            return threading.get_ident() == here

        def quick() -> bool:
            return threading.get_ident() == here

        found = [await each.run(slow, kind="a"), await each.run(slow, kind="a"), await each.run(quick, kind="b")]
        await asyncio.sleep(0.25)
        return [*found, await each.run(quick, kind="a"), await each.run(quick, kind="a")]

    assert asyncio.run(ask()) == [True, False, True, True, True]


def test_each_slow_turn_keeps_a_kind_out_for_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes, "_FIRST_PAUSE", 0.05)

    async def ask() -> list[bool]:
        each, here = Lanes(2), threading.get_ident()

        def slow() -> bool:
            burn(1.5 * QUICK)
            return threading.get_ident() == here

        found = [await each.run(slow, kind="a")]
        await asyncio.sleep(0.06)
        found.append(await each.run(slow, kind="a"))
        await asyncio.sleep(0.06)  # out for 0.1 s now
        return [*found, await each.run(slow, kind="a")]

    assert asyncio.run(ask()) == [True, True, False]


def test_errors_of_the_work_are_the_callers():
    async def ask() -> None:
        def fails() -> None:
            raise LookupError("nothing there")

        await Lanes(1).run(fails, kind="a")

    with pytest.raises(LookupError, match="nothing there"):
        asyncio.run(ask())


def test_a_statement_that_outlasts_its_turn_is_interrupted_and_run_again_by_a_thread(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path}/a.db")
    tried: list[int] = []
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT count(*) FROM n"

    def count() -> int:
        tried.append(threading.get_ident())
        try:
            with database.read() as db:
                return db.execute(sa.text(numbers)).scalar_one()
        except sa.exc.OperationalError as error:
            if overdue():
                raise Expired from error
            raise

    async def ask() -> tuple[int, float]:
        began = time.monotonic()
        task = asyncio.ensure_future(Lanes(1).run(count, kind="slow"))
        await asyncio.sleep(0)
        held = time.monotonic() - began
        return await task, held

    try:
        found, held = asyncio.run(ask())
    finally:
        database.close()
    assert found == 2_000_000
    assert len(tried) == 2
    assert tried[0] == threading.get_ident() != tried[1]
    assert held < 10 * QUICK  # not the time that the statement takes, but for a busy machine


def test_lists_wait_for_nothing_but_the_database() -> None:
    plugins.load_all()
    waiting = [spec.name for spec in commands.commands().values() if spec.name.startswith("list") and not spec.at_once]
    assert waiting == ["listLdapUsers"]  # it asks a directory
