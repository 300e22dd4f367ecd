"""What a workflow can do, and that each of its steps happens once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs import Engine, EventContext, Hooks, cancel, submit, tables
from pileus.core.jobs.sql import Record
from pileus.wire.operations import Failure
from tests.jobs import flows
from tests.jobs.world import Channel, effects, job, operations, start, steps, until, wait

Start = Callable[..., Engine]
FULL = Failure(code="full", message="The host is full", retryable=True)
BAD = Failure(code="bad", message="The disk is broken", detail="sdb: EIO")


def test_a_job_runs_its_steps_and_keeps_its_result(database: Database, engine: Start) -> None:
    engine()
    submission = start(database, flows.plain, name="a")
    (row,) = wait(database, submission)
    assert (row.state, row.result_code, row.uuid) == ("done", 0, submission.uuid)
    assert row.result == {"first": 1, "answer": {"host": 1, "what": "a"}}
    assert effects(database) == ["a first", "a second"]
    assert operations(database) == [("attach", 1), ("on", 2)]


def test_finish_ends_the_job_in_the_transaction_of_its_writes(database: Database, engine: Start) -> None:
    engine()
    (row,) = wait(database, start(database, flows.finishing, name="a"))
    assert (row.state, row.result, row.progress) == ("done", {"name": "a"}, 1)
    assert effects(database) == ["a first", "a last"]


def test_a_failure_undoes_in_reverse_order(database: Database, engine: Start) -> None:
    engine()
    (row,) = wait(database, start(database, flows.plain, name="a", fail="no room"))
    assert (row.state, row.result, row.result_code) == ("failed", {"errorcode": 533, "errortext": "no room"}, 533)
    assert effects(database) == [
        "a first",
        "a second",
        "uncalled ['host', 'what']",
        "undo 2",
        "uncalled ['host', 'what']",
        "undo 1",
        "on_failure 533 no room",
    ]
    assert operations(database) == [("attach", 1), ("on", 2), ("off", 1), ("off", 2)]


def test_a_fault_of_the_workflow_tells_users_nothing_of_the_code(database: Database, engine: Start) -> None:
    engine()
    (row,) = wait(database, start(database, flows.commits, name="a", fail=True))
    assert row.result["errorcode"] == 530
    assert row.uuid in row.result["errortext"]
    assert "fault" not in row.result["errortext"]
    assert effects(database)[:6] == ["a 0", "a 1", "a 2", "undo 3", "undo 2", "undo 1"]


def test_a_hosts_failure_is_the_jobs_text(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[1, "go"] = BAD
    engine()
    (row,) = wait(database, start(database, flows.one_call, kind="go", undone=True))
    assert row.result == {"errorcode": 530, "errortext": "The disk is broken"}
    assert effects(database) == ["first", "undo 1", "on_failure 530 The disk is broken"]
    assert operations(database) == []  # a host that says it failed has nothing to take back


def test_several_calls_wait_together_and_keep_their_order(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[3, "on"] = BAD
    channel.delay["on"] = 0.1
    engine()
    began = time.monotonic()
    (row,) = wait(database, start(database, flows.many_calls, hosts=[5, 3, 4]))
    assert row.result == {"states": ["done", "failed", "done"], "hosts": [5, None, 4]}
    assert time.monotonic() - began < 3
    (row,) = wait(database, start(database, flows.many_calls, hosts=[]))
    assert row.result == {"states": [], "hosts": []}


def test_a_failed_host_is_avoided_and_its_reservation_undone(
    database: Database, engine: Start, channel: Channel
) -> None:
    channel.failing[1, "start"] = FULL
    channel.failing[2, "start"] = FULL
    engine()
    (row,) = wait(database, start(database, flows.placing, hosts=[1, 2, 3], delay=0.01))
    assert (row.state, row.result) == ("done", {"host": 3})
    assert effects(database) == ["reserve 1", "undo 1", "reserve 2", "undo 2", "reserve 3", "placed 3"]


def test_attempts_end_when_none_is_left(database: Database, engine: Start, channel: Channel) -> None:
    for host in (1, 2, 3):
        channel.failing[host, "start"] = FULL
    engine()
    (row,) = wait(database, start(database, flows.placing, hosts=[1, 2, 3], times=2))
    assert row.result == {"errorcode": 530, "errortext": "The host is full"}
    assert effects(database) == [
        "reserve 1",
        "undo 1",
        "reserve 2",
        "undo 2",
        "on_failure 530 The host is full",
    ]


def test_a_refusal_within_an_attempt_is_not_retried(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[1, "start"] = FULL
    engine()
    (row,) = wait(database, start(database, flows.placing, hosts=[1], times=9))
    assert row.result == {"errorcode": 533, "errortext": "no host is left"}
    channel.failing[1, "start"] = BAD
    (row,) = wait(database, start(database, flows.placing, hosts=[1, 2], times=9))
    assert row.result["errortext"] == "The disk is broken"


def test_a_retry_carries_its_facts(database: Database, engine: Start) -> None:
    engine()
    (row,) = wait(database, start(database, flows.asking, times=3))
    assert row.result["number"] == 3
    assert [(f["host"], f["code"], f["message"], f["pool"]) for f in row.result["seen"]] == [
        (1, "early", "not yet", "p1"),
        (2, "early", "not yet", "p2"),
    ]


def test_a_child_job_gives_its_result_or_its_failure(database: Database, engine: Start) -> None:
    engine()
    (row,) = wait(database, start(database, flows.parent, name="a", key="p", account_id=7))
    assert row.result["child"]["answer"] == {"host": 1, "what": "a child"}
    with database.read() as db:
        child = db.execute(sa.select(tables.job).where(tables.job.c.parent_id == row.id)).one()
    assert (child.account_id, child.state) == (7, "done")
    (row,) = wait(database, start(database, flows.parent, name="b", fail=True))
    assert (row.state, row.result) == ("failed", {"errorcode": 533, "errortext": "no room"})
    assert effects(database)[-2:][0].startswith("undo ")
    assert effects(database)[-1] == "on_failure 533 no room"


def test_sleep_waits_without_a_worker(database: Database, engine: Start) -> None:
    engine(workers=1)
    sleeper = start(database, flows.sleeping, seconds=0.5)
    until(lambda: job(database, sleeper).state == "waiting", 5)
    wait(database, start(database, flows.commits, name="b"))
    assert job(database, sleeper).state == "waiting"
    (row,) = wait(database, sleeper)
    assert row.completed - row.created >= 0.5
    assert row.completed - row.created < 1.5


def test_local_work_keeps_no_worker_and_shows_progress(database: Database, engine: Start) -> None:
    engine(workers=1, lease=1)
    download = start(database, flows.downloading, seconds=1.5)  # longer than the lease
    until(lambda: job(database, download).progress == 0.5, 5)
    assert job(database, download).progress_text == "half of it"
    wait(database, start(database, flows.commits, name="b"))
    assert job(database, download).state == "running"
    (row,) = wait(database, download)
    assert row.result == {"got": "bytes"}
    (row,) = wait(database, start(database, flows.downloading, seconds=0, fail=True))
    assert row.result == {"errorcode": 533, "errortext": "the disk is full"}


def test_jobs_on_one_key_run_one_after_another(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["on"] = 0.01
    engine()
    jobs = [start(database, flows.nap_with_key, key=f"k{n % 3}", name=f"k{n % 3} {n}") for n in range(18)]
    wait(database, *jobs)
    for key in ("k0", "k1", "k2"):
        mine = [text.split() for text in effects(database) if text.split()[1] == key]
        assert [kind for kind, *_ in mine] == ["in", "out"] * 6
        assert [int(number) for kind, _, number in mine if kind == "in"] == list(range(int(key[1]), 18, 3))


@pytest.mark.parametrize(("flow", "text"), [(flows.clockwork, "deterministic"), (flows.twice, "two steps")])
def test_a_workflow_that_is_not_deterministic_fails_loudly(
    database: Database, engine: Start, flow: Callable[..., None], text: str
) -> None:
    engine()
    (row,) = wait(database, start(database, flow))
    assert row.state == "failed"
    assert text in row.result["errortext"]


def test_an_unknown_workflow_fails(database: Database, engine: Start) -> None:
    submission = start(database, flows.sleeping, seconds=0)
    with database.write() as db:
        db.execute(sa.update(tables.job).values(workflow="test.of_another_version"))
    engine()
    (row,) = wait(database, submission)
    assert (row.state, row.result["errorcode"]) == ("failed", 530)


def test_cancelling_a_waiting_job_aborts_and_undoes(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("silent")
    engine()
    submission = start(database, flows.one_call, kind="silent", undone=True)
    until(lambda: channel.seen, 5)
    with database.write() as db:
        assert cancel(db, submission.uuid)
    (row,) = wait(database, submission, seconds=5)
    assert (row.state, row.result["errortext"]) == ("cancelled", "The job was cancelled")
    assert effects(database) == ["first", "uncalled []", "undo 1", "on_failure 530 The job was cancelled"]
    until(lambda: channel.aborted == [f"{submission.uuid}/go"], 5)
    with database.write() as db:
        assert not cancel(db, submission.uuid)


def test_cancelling_a_job_before_it_runs(database: Database, engine: Start) -> None:
    submission = start(database, flows.commits, name="a")
    with database.write() as db:
        assert cancel(db, submission.uuid)
    engine()
    (row,) = wait(database, submission)
    assert row.state == "cancelled"
    assert effects(database) == ["on_failure 530 The job was cancelled"]


def test_cancelling_local_work(database: Database, engine: Start) -> None:
    engine()
    submission = start(database, flows.downloading, seconds=60)
    until(lambda: job(database, submission).progress > 0, 5)
    with database.write() as db:
        assert cancel(db, submission.uuid)
    (row,) = wait(database, submission, seconds=10)
    assert row.state == "cancelled"


def test_a_parent_waits_for_its_cancelled_child(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("silent")
    engine()
    submission = start(database, flows.slow_parent)
    until(lambda: channel.seen, 5)
    with database.write() as db:
        cancel(db, submission.uuid)
    (row,) = wait(database, submission, seconds=10)
    assert row.state == "cancelled"
    assert effects(database) == [
        "parent before",
        "first",
        "undo 2",
        "on_failure 530 The job was cancelled",
        "undo 1",
        "on_failure 530 The job was cancelled",
    ]


def test_a_deadline_ends_a_waiting_job(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("silent")
    engine()
    submission = start(database, flows.one_call, kind="silent", deadline_seconds=0.5, undone=True)
    (row,) = wait(database, submission, seconds=5)
    assert row.state == "failed"
    assert effects(database)[:3] == ["first", "uncalled []", "undo 1"]
    until(lambda: channel.aborted, 5)


def test_a_submission_that_is_rolled_back_leaves_no_job(database: Database, engine: Start) -> None:
    engine()

    def doomed() -> None:
        with database.write() as db:
            submit(db, flows.commits, key=None, arguments={"name": "a"})
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        doomed()
    wait(database, start(database, flows.commits, name="b"))
    assert not [text for text in effects(database) if text.startswith("a")]


def test_an_undo_is_retried_until_the_host_can(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[7, "off"] = FULL
    engine()
    submission = start(database, flows.hard_to_undo, undo="test.stubborn")
    until(lambda: len([o for o in channel.seen if o.kind == "off"]) >= 2, 10)
    assert job(database, submission).state != "failed"
    del channel.failing[7, "off"]
    (row,) = wait(database, submission)
    assert row.result["errortext"] == "no room"
    assert effects(database) == ["easy", "hard", "stubborn undone", "undo 1", "on_failure 533 no room"]


@pytest.mark.parametrize(("undo", "text"), [("test.broken", "cannot be undone"), ("test.absent", "no undo")])
def test_an_undo_that_fails_for_good_is_reported_and_the_rest_goes_on(
    database: Database, engine: Start, undo: str, text: str
) -> None:
    alerts: list[tuple[str, str]] = []
    engine(hooks=Hooks(failed_undo=lambda _db, _record, step, reason: alerts.append((step, reason))))
    submission = start(database, flows.hard_to_undo, undo=undo)
    wait(database, submission)
    assert effects(database) == ["easy", "hard", "undo 1", "on_failure 533 no room"]
    assert [step for step, _ in alerts] == ["hard"]
    assert text in alerts[0][1]
    assert {step.name: step.undone for step in steps(database, submission) if step.undo} == {"easy": 1, "hard": 2}


def test_an_undo_gives_up_after_its_tries(database: Database, engine: Start, channel: Channel) -> None:
    channel.failing[7, "off"] = FULL
    engine(undo_tries=2)
    wait(database, start(database, flows.hard_to_undo, undo="test.stubborn"))
    assert effects(database) == ["easy", "hard", "undo 1", "on_failure 533 no room"]


def test_hooks_are_told_in_the_transaction_of_the_end(database: Database, engine: Start) -> None:
    told: list[tuple[str, bool, str, int | None]] = []

    def completed(_db: object, record: Record, ok: bool, text: str) -> None:
        told.append((record.workflow, ok, text, record.event_start_id))

    engine(hooks=Hooks(completed=completed))
    event = EventContext(type="VM.START", start_id=41)
    wait(database, start(database, flows.commits, name="a", event=event))
    wait(database, start(database, flows.plain, name="a", fail="no room"))
    assert told == [("test.commits", True, "", 41), ("test.plain", False, "no room", None)]


def test_an_engine_that_stops_leaves_nothing_running(database: Database, engine: Start, channel: Channel) -> None:
    channel.delay["on"] = 1
    first = engine(server="one")
    jobs = [start(database, flows.finishing, name=str(n)) for n in range(5)]
    until(lambda: len(channel.seen) == 5, 5)
    first.stop(5)
    with database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(tables.server)).scalar_one() == 0
    engine(server="two")
    wait(database, *jobs)
    assert sorted(effects(database)) == sorted(f"{n} {what}" for n in range(5) for what in ("first", "last"))
