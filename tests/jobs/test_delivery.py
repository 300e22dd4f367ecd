"""The courier: limits, late, lost and double answers, broken roads, deadlines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs import Engine, tables
from pileus.core.jobs.sql import answered
from tests.jobs import flows
from tests.jobs.world import Channel, effects, operations, start, steps, until, wait

Start = Callable[..., Engine]


def test_a_host_gets_no_more_than_its_share(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["on"] = 0.02
    engine(per_host=4)
    slow = [start(database, flows.one_call, kind="on", host=1) for _ in range(30)]
    quick = [start(database, flows.one_call, kind="on", host=2) for _ in range(3)]
    rows = wait(database, *slow, *quick)
    assert channel.peak[1] == 4
    assert max(row.completed for row in rows[30:]) < max(row.completed for row in rows[:30])
    assert len(operations(database)) == 33


def test_a_broken_road_is_no_failure(database: Database, engine: Start, channel: Channel) -> None:
    channel.broken["on"] = 3
    engine()
    (row,) = wait(database, start(database, flows.one_call, kind="on"))
    assert row.state == "done"
    assert len({o.id for o in channel.seen}) == 1


def test_a_lost_operation_is_delivered_anew(database: Database, engine: Start, channel: Channel) -> None:
    channel.lost["on"] = 2
    engine()
    submission = start(database, flows.one_call, kind="on")
    (row,) = wait(database, submission)
    assert row.state == "done"
    assert [o.id.removeprefix(submission.uuid) for o in channel.seen] == ["/go", "/go#2", "/go#3"]


def test_an_operation_that_is_lost_again_and_again_fails(database: Database, engine: Start, channel: Channel) -> None:
    channel.lost["on"] = 99
    engine()
    (row,) = wait(database, start(database, flows.one_call, kind="on", undone=True))
    assert row.state == "failed"
    assert effects(database)[1] == "uncalled []"  # nobody knows what the host has done: it is undone
    assert len([o for o in channel.seen if o.kind == "on"]) == 3


def test_an_operations_deadline(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("silent")
    engine()
    submission = start(database, flows.one_call, kind="silent", timeout=0.3, undone=True)
    (row,) = wait(database, submission, seconds=5)
    assert row.result == {"errorcode": 530, "errortext": "The host did not answer in time"}
    until(lambda: channel.aborted == [f"{submission.uuid}/go"], 5)
    (step,) = [step for step in steps(database, submission) if step.name == "go"]
    assert '"code":"timeout"' in step.error
    assert '"retryable":true' in step.error


def test_a_second_answer_has_no_effect(database: Database, engine: Start, channel: Channel) -> None:
    made: Any = engine()
    submission = start(database, flows.one_call, kind="on")
    (row,) = wait(database, submission)
    before = (row, steps(database, submission))
    with database.read() as db:
        outbox = db.execute(sa.select(tables.outbox)).one()
    made._courier.reserve(1)
    made._courier.launch(outbox.id, 1, channel.seen[0])  # as if the same answer came once more
    until(lambda: len(channel.seen) == 2, 5)
    until(lambda: made.in_flight == 0, 5)
    (row,) = wait(database, submission)
    assert (row, steps(database, submission)) == before
    with database.write() as db:
        assert answered(db, id=outbox.id).one_or_none() is None


def test_a_late_answer_has_no_effect(database: Database, engine: Start, channel: Channel) -> None:
    """The host does it after all, when the job has long been undone."""
    channel.delay["slow"] = 1
    engine()
    submission = start(database, flows.one_call, kind="slow", timeout=0.2)
    (row,) = wait(database, submission)
    assert row.state == "failed"
    before = steps(database, submission)
    (again,) = wait(database, start(database, flows.one_call, kind="slow"))
    assert again.state == "done"
    assert steps(database, submission) == before


def test_many_waiting_jobs_cost_no_threads_and_let_others_pass(
    database: Database, engine: Start, channel: Channel
) -> None:
    made = engine(per_host=1000, workers=2)
    wait(database, start(database, flows.commits, name="warm"))
    threads = threading.active_count()
    channel.silent.add("silent")
    for n in range(400):
        start(database, flows.one_call, kind="silent", host=n % 20 + 1)
    until(lambda: made.in_flight == 400, 20)
    assert threading.active_count() <= threads + 2
    (row,) = wait(database, start(database, flows.commits, name="quick"))
    assert row.completed - row.created < 0.5
