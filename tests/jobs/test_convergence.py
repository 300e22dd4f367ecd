"""Objects come to their newest desired state, in as few operations as possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import Database
from pileus.core.jobs import Engine, cancel, desire, desired, tables
from pileus.core.jobs.prepared import Prepared
from pileus.wire.operations import Failure
from tests.jobs import flows
from tests.jobs.world import Channel, effects, start, until, wait

Start = Callable[..., Engine]
FULL = Failure(code="busy", message="The router is busy", retryable=True)
BAD = Failure(code="bad", message="The rules are wrong")


def _row(database: Database, object_id: int) -> Any:
    with database.read() as db:
        table = tables.convergence
        return db.execute(sa.select(table).where(table.c.object_id == object_id)).one()


def test_jobs_under_load_share_operations(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["router.apply"] = 0.1
    engine()
    jobs = [start(database, flows.converging, object_id=5) for _ in range(40)]
    rows = wait(database, *jobs)
    assert {row.state for row in rows} == {"done"}
    assert sorted(row.result["generation"] for row in rows) == list(range(1, 41))
    applied = [o for o in channel.seen if o.object == "router:5"]
    assert len(applied) < 20
    assert channel.peak_kind["router:5"] == 1  # never two at once
    assert [o.fence for o in applied] == sorted({o.fence for o in applied})
    assert len({o.id for o in applied}) == len(applied)
    row = _row(database, 5)
    assert (row.desired, row.applied, row.in_flight) == (40, 40, None)


def test_objects_are_applied_in_parallel(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["router.apply"] = 0.5
    engine()
    rows = wait(database, *[start(database, flows.converging, object_id=n) for n in range(1, 13)])
    assert max(row.completed for row in rows) - min(row.created for row in rows) < 3


def test_a_job_waits_for_several_objects_at_once(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["router.apply"] = 0.4
    engine()
    (row,) = wait(database, start(database, flows.converging_together, objects=[9, 1, 5, 3, 100]))
    assert row.state == "done"
    assert row.completed - row.created < 1.5  # not one after the other
    told = effects(database)
    assert set(told[:4]) == {f"applied {object_id} 1" for object_id in (1, 3, 5, 9)}
    assert told[4:] == ["all are there"]


def test_one_of_several_objects_that_fails_is_told_when_all_have_ended(
    database: Database, engine: Start, channel: Channel
) -> None:
    channel.delay["router.apply"] = 0.3
    channel.failing[3, "router.apply"] = BAD  # objects 2 and 5
    engine()
    (row,) = wait(database, start(database, flows.converging_together, objects=[1, 2, 3]))
    assert row.result["errortext"] == "The rules are wrong"
    assert {"applied 1 1", "applied 3 1"} < set(effects(database))
    with database.read() as db:
        assert not db.execute(sa.select(tables.convergence_waiter)).all()


def test_nothing_to_apply_counts_as_applied(database: Database, engine: Start, channel: Channel) -> None:
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=100))
    assert row.state == "done"
    assert not channel.seen


def test_a_wish_without_a_waiting_job(database: Database, engine: Start) -> None:
    engine()
    with database.write() as db:
        assert desire(db, "test.router", 7) == 1
        assert desire(db, "test.router", 7) == 2
    until(lambda: _row(database, 7).applied == 2, 5)
    with database.read() as db:
        assert desired(db, "test.router", 7) == 2
        assert desired(db, "test.router", 8) == 0


def test_a_failure_is_tried_again_and_then_told(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[2, "router.apply"] = FULL
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=1))
    assert row.result == {"errorcode": 530, "errortext": "The router is busy"}
    assert len({o.id for o in channel.seen}) == 3
    assert effects(database)[0] == "not applied 1 1 busy"
    del channel.failing[2, "router.apply"]
    (row,) = wait(database, start(database, flows.converging, object_id=1))  # it does not stick
    assert row.state == "done"
    assert _row(database, 1).error is None


def test_a_failure_that_cannot_be_helped_is_told_at_once(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[2, "router.apply"] = BAD
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=1))
    assert row.result["errortext"] == "The rules are wrong"
    assert len(channel.seen) <= 2  # the wish, and perhaps once more for the job that came to wait
    del channel.failing[2, "router.apply"]
    (row,) = wait(database, start(database, flows.converging, object_id=1))
    assert row.state == "done"


def test_a_failed_rendering_is_a_failure(database: Database, engine: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no such network")

    monkeypatch.setattr(flows.Router, "render", broken)
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=1))
    assert row.state == "failed"
    assert "see the log" in row.result["errortext"]


def test_a_failed_applied_is_a_failure(database: Database, engine: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no such column")

    monkeypatch.setattr(flows.Router, "applied", broken)
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=1))
    assert row.state == "failed"


def test_an_applied_whose_statements_fail_harms_nobody_else(
    database: Database, engine: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = Prepared(
        "INSERT INTO convergence (kind, object_id, desired, applied, attempt, next_try) VALUES ('x', 1, 1, 1, 0, 0)"
    )
    right = flows.Router.applied

    def broken(self: Any, db: Connection, object_id: int, *more: Any) -> None:
        right(self, db, object_id, *more)
        if object_id == 1:
            same.many(db, [{}, {}])  # the second breaks a constraint, on PostgreSQL only once it is sent

    monkeypatch.setattr(flows.Router, "applied", broken)
    engine()
    rows = wait(database, *(start(database, flows.converging, object_id=n) for n in (1, 2, 3)))
    assert [row.state for row in rows] == ["failed", "done", "done"]
    assert {"applied 2 1", "applied 3 1"} == {each for each in effects(database) if each.startswith("applied")}


def test_waiting_ends_by_its_timeout(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("router.apply")
    engine()
    (row,) = wait(database, start(database, flows.converging, object_id=1, timeout=0.3), seconds=5)
    assert row.result == {"errorcode": 530, "errortext": "The desired state was not applied in time"}


def test_a_cancelled_job_waits_no_more(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("router.apply")
    engine()
    submission = start(database, flows.converging, object_id=1)
    until(lambda: channel.seen, 5)
    with database.write() as db:
        cancel(db, submission.uuid)
    (row,) = wait(database, submission, seconds=5)
    assert row.state == "cancelled"
    with database.read() as db:
        assert not db.execute(sa.select(tables.convergence_waiter)).all()


def test_an_engine_that_starts_again_takes_up_what_was_in_flight(
    database: Database, engine: Start, channel: Channel
) -> None:
    channel.silent.add("router.apply")
    first = engine()
    submission = start(database, flows.converging, object_id=1)
    until(lambda: channel.seen, 5)
    first.stop(5)
    channel.silent.clear()
    engine()
    (row,) = wait(database, submission, seconds=5)
    assert row.state == "done"
    assert len({o.id for o in channel.seen}) == 1  # the same operation: the host joins it to the first
