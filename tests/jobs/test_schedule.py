"""Periodic work once in the cluster, retention, and who looks after which host."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs import Engine, owner_of, periodic, registry, retention, tables
from tests.jobs import flows
from tests.jobs.world import Channel, start, until, wait

Start = Callable[..., Engine]


@pytest.fixture
def beats() -> Iterator[list[Any]]:
    """Periodic work that counts."""
    seen: list[Any] = []

    @periodic("test.beat", every=0.3)
    def beat(services: Any) -> None:
        seen.append(services)
        if len(seen) == 2:
            raise RuntimeError("the second time fails")

    yield seen
    del registry.periodics["test.beat"]


def test_periodic_work_runs_once_per_period_in_the_cluster(database: Database, engine: Start, beats: list[Any]) -> None:
    for name in ("one", "two", "three"):
        engine(server=name, services=name)
    time.sleep(1.6)
    assert 4 <= len(beats) <= 7  # with three servers it would be three times as many
    assert all(isinstance(name, str) for name in beats)


def test_retention_deletes_old_jobs_with_all_that_is_theirs(database: Database, engine: Start) -> None:
    engine()
    jobs = [start(database, flows.plain, name=str(n)) for n in range(7)]
    wait(database, *jobs)
    with database.write() as db:
        old = [submission.id for submission in jobs[:5]]
        db.execute(sa.update(tables.job).where(tables.job.c.id.in_(old)).values(completed=1000.0))
    assert retention.sweep(database, batch=2) == 5
    assert retention.sweep(database) == 0
    with database.read() as db:
        kept = {submission.id for submission in jobs[5:]}
        assert set(db.execute(sa.select(tables.job.c.id)).scalars()) == kept
        assert set(db.execute(sa.select(tables.job_step.c.job_id)).scalars()) == kept
        assert set(db.execute(sa.select(tables.outbox.c.job_id)).scalars()) == kept


def test_the_newest_job_is_kept_so_that_its_number_is_not_given_out_again(database: Database, engine: Start) -> None:
    engine()
    jobs = [start(database, flows.plain, name=str(n)) for n in range(3)]
    wait(database, *jobs)
    assert retention.sweep(database, keep=-1000) == 2
    assert start(database, flows.plain, name="next").id > jobs[-1].id


def test_open_jobs_are_kept(database: Database, engine: Start, channel: Channel) -> None:
    channel.silent.add("silent")
    engine()
    start(database, flows.one_call, kind="silent")
    until(lambda: channel.seen, 5)
    assert retention.sweep(database, keep=-1000) == 0


def test_hosts_are_divided_over_servers_and_few_move() -> None:
    servers = ["a:1", "b:2", "c:3", "d:4"]
    before = {host: owner_of(host, servers) for host in range(1000)}
    shares = Counter(before.values())
    assert all(180 < shares[name] < 320 for name in servers)
    after = {host: owner_of(host, servers[:3]) for host in range(1000)}
    assert all(after[host] == owner for host, owner in before.items() if owner != "d:4")
    assert owner_of(1, []) is None


def test_members_see_each_other(database: Database, engine: Start) -> None:
    one, two = engine(server="one", address="127.0.0.1:1"), engine(server="two", address="127.0.0.1:2")
    until(lambda: len(one.membership.live) == 2, 5)
    assert sorted(one.membership.addresses.values()) == ["127.0.0.1:1", "127.0.0.1:2"]
    assert all(one.membership.owner_of(host) == two.membership.owner_of(host) for host in range(50))
    two.stop(5)
    until(lambda: len(one.membership.live) == 1, 5)
    assert threading.active_count() < 60
