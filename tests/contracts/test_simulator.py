"""Simulated hosts behave as an agent does: idempotent, fenced, and with a memory that outlives the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.core.database import Database, metadata
from pileus.drivers.simulator import SimulatorChannel, state, tables
from pileus.wire.operations import Answer, Operation

POOL = {"uuid": "0a5f2f6e-0000-4000-8000-000000000001", "kind": "simulator", "path": "/sim/pool"}
VOLUME = "0a5f2f6e-0000-4000-8000-0000000000aa"
MACHINE = "0a5f2f6e-0000-4000-8000-0000000000bb"
SEGMENT = {"kind": "vxlan", "tag": 5001}
SPEC: dict[str, Any] = {
    "name": "i-2-1-VM",
    "uuid": MACHINE,
    "cpus": 1,
    "cpu_mhz": 500,
    "memory_mib": 512,
    "disks": [{"volume": VOLUME, "pool": POOL["uuid"], "path": "/sim/x", "device": 0}],
    "nics": [{"uuid": "n", "mac": "02:00:00:00:00:01", "address": "10.1.1.2", "device": 0, "segment": SEGMENT}],
}
ROUTER: dict[str, Any] = {
    "name": "r-4-VM",
    "uuid": "r",
    "generation": 2,
    "guest": {"segment": SEGMENT, "mac": "02:00:00:00:00:02", "address": "10.1.1.1", "prefix": 24},
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/sim.db")
    with database.write() as db:
        metadata.create_all(db, tables=[tables.sim_object, tables.sim_operation, tables.sim_mock])
    yield database
    database.close()


@pytest.fixture
def channel(database: Database) -> Iterator[SimulatorChannel]:
    channel = SimulatorChannel(database)
    yield channel
    channel.close()


def operation(id_: str, kind: str, arguments: dict[str, Any], *, fence: int = 1, seconds: float = 30) -> Operation:
    subject = arguments.get("name") or arguments.get("uuid") or kind
    return Operation(
        id=id_, kind=kind, object=f"x:{subject}", fence=fence, deadline=time.time() + seconds, arguments=arguments
    )


def ask(channel: SimulatorChannel, *operations: Operation, host: int = 1) -> list[Answer]:
    async def all_() -> list[Answer]:
        return await asyncio.gather(*(channel.deliver(host, operation) for operation in operations))

    return asyncio.run(all_())


def volume(id_: str = "v/1", **more: Any) -> Operation:
    return operation(id_, "volume.create", {"uuid": VOLUME, "pool": POOL, "size": 1 << 30, **more})


def test_a_machine_lives_from_volume_to_destruction(channel: SimulatorChannel, database: Database) -> None:
    (made,) = ask(channel, volume())
    assert made.result["size"] == 1 << 30
    (started,) = ask(channel, operation("m/1", "machine.start", SPEC))
    assert started.state == "done"
    assert started.result["power"] == "on"
    (again,) = ask(channel, operation("m/2", "machine.start", SPEC, fence=2))
    assert again.result == started.result
    (listed,) = ask(channel, operation("l/1", "machine.list", {}))
    assert [m["name"] for m in listed.result["machines"]] == ["i-2-1-VM"]
    ask(channel, operation("m/3", "machine.stop", {"name": "i-2-1-VM"}, fence=3))
    with database.read() as db:
        assert [m.power for m in state.machines(db, 1)] == ["off"]
        assert state.volumes(db) == {VOLUME: POOL["uuid"]}
        assert list(state.objects(db, "segment")) == ["1/vxlan/5001"]
    ask(channel, operation("m/4", "machine.destroy", {"name": "i-2-1-VM"}, fence=4))
    ask(channel, operation("v/9", "volume.delete", {"uuid": VOLUME, "pool": POOL}, fence=4))
    ask(channel, operation("s/1", "segment.release", SEGMENT))
    with database.read() as db:
        assert state.machines(db, 1) == []
        assert state.volumes(db) == {}
        assert state.objects(db, "segment") == {}


def test_a_machine_without_its_volume_does_not_start(channel: SimulatorChannel) -> None:
    (answer,) = ask(channel, operation("m/1", "machine.start", SPEC))
    assert answer.state == "failed"
    assert answer.failure is not None
    assert answer.failure.code == "volume-missing"


def test_a_volume_is_at_least_as_large_as_its_template(channel: SimulatorChannel) -> None:
    image = {"uuid": "i", "url": "https://x/i", "checksum": "", "virtual_size": 2 << 30}
    small, fitting = ask(channel, volume("v/1", image=image), volume("v/2", image=image, size=0))
    assert small.failure is not None
    assert small.failure.code == "invalid-size"
    assert fitting.result["size"] == 2 << 30


def test_a_repeat_gives_the_same_answer_also_after_a_restart(database: Database) -> None:
    first = SimulatorChannel(database)
    (one,) = ask(first, volume())
    first.close()
    second = SimulatorChannel(database)
    ask(second, operation("v/2", "volume.delete", {"uuid": VOLUME, "pool": POOL}, fence=2))
    (repeated,) = ask(second, volume())
    second.close()
    assert repeated == one
    with database.read() as db:
        assert state.volumes(db) == {}


def test_a_double_in_one_breath_has_one_effect(channel: SimulatorChannel, database: Database) -> None:
    one, two = ask(channel, volume(), volume())
    assert one == two
    with database.read() as db:
        assert len(state.volumes(db)) == 1


def test_an_older_fence_is_refused(channel: SimulatorChannel, database: Database) -> None:
    ask(channel, volume())
    ask(channel, operation("m/1", "machine.start", SPEC, fence=7))
    (late,) = ask(channel, operation("m/2", "machine.destroy", {"name": "i-2-1-VM"}, fence=6))
    assert late.state == "refused"
    with database.read() as db:
        assert len(state.machines(db, 1)) == 1


def test_an_older_generation_of_a_router_is_refused(channel: SimulatorChannel, database: Database) -> None:
    ask(channel, operation("r/2", "router.apply", ROUTER))
    (old,) = ask(channel, operation("r/1", "router.apply", {**ROUTER, "generation": 1}))
    assert old.failure is not None
    assert old.failure.code == "stale"
    with database.read() as db:
        assert [(r.generation, r.running) for r in state.routers(db, 1)] == [(2, True)]
    ask(channel, operation("r/3", "router.stop", {"name": "r-4-VM"}))
    (looked,) = ask(channel, operation("r/4", "router.inspect", {"name": "r-4-VM"}))
    assert looked.result["running"] is False
    ask(channel, operation("r/5", "router.destroy", {"name": "r-4-VM"}))
    with database.read() as db:
        assert state.routers(db, 1) == []


def test_what_nobody_knows_is_refused_by_name(channel: SimulatorChannel) -> None:
    strange, wrong = ask(
        channel, operation("x/1", "machine.fly", {}), operation("x/2", "machine.start", {"name": "i-2-1-VM"})
    )
    assert strange.failure is not None
    assert wrong.failure is not None
    assert (strange.failure.code, wrong.failure.code) == ("unknown-operation", "invalid-arguments")


def test_faults_by_host_and_kind(channel: SimulatorChannel) -> None:
    channel.config.fail("volume.create", host=2, code="disk-full", retryable=True, times=1)
    assert ask(channel, volume("v/1"))[0].state == "done"
    (failed,) = ask(channel, volume("v/2"), host=2)
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.retryable) == ("disk-full", True)
    assert ask(channel, volume("v/3"), host=2)[0].state == "done"


def test_a_lost_answer_has_had_its_effect_and_a_lost_request_has_not(
    channel: SimulatorChannel, database: Database
) -> None:
    channel.config.lose("volume.create", what="request", times=1)
    lost = operation("v/1", "volume.create", {"uuid": VOLUME, "pool": POOL, "size": 1}, seconds=0.1)
    assert ask(channel, lost)[0].state == "failed"
    with database.read() as db:
        assert state.volumes(db) == {}
    channel.config.lose("volume.create", what="answer", times=1)
    lost = operation("v/2", "volume.create", {"uuid": VOLUME, "pool": POOL, "size": 1}, seconds=0.1)
    (answer,) = ask(channel, lost)
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.retryable) == ("timeout", True)
    with database.read() as db:
        assert list(state.volumes(db)) == [VOLUME]


def test_latency_holds_back_and_an_abort_ends_it(channel: SimulatorChannel, database: Database) -> None:
    channel.config.delay("volume.create", seconds=20)

    async def give_up() -> Answer:
        running = asyncio.create_task(channel.deliver(1, volume()))
        joined = asyncio.create_task(channel.deliver(1, volume()))
        await asyncio.sleep(0.05)
        await channel.abort(1, "v/1")
        answer = await running
        assert await joined == answer
        return answer

    assert asyncio.run(give_up()).state == "aborted"
    with database.read() as db:
        assert state.volumes(db) == {}


def test_a_report_shows_what_happened_behind_managements_back(channel: SimulatorChannel, database: Database) -> None:
    ask(channel, volume())
    ask(channel, operation("m/1", "machine.start", SPEC))
    with database.write() as db:
        state.set_power(db, 1, "i-2-1-VM", "off")
    with database.read() as db:
        report = state.report(db, 1, "h")
    assert [(m.name, m.power) for m in report.machines] == [("i-2-1-VM", "off")]


def test_a_thousand_operations_are_cheap(channel: SimulatorChannel) -> None:
    many = [
        operation(f"v/{n}", "volume.create", {"uuid": f"{VOLUME}{n}", "pool": POOL, "size": 1}) for n in range(1000)
    ]
    begun = time.process_time()
    assert {a.state for a in ask(channel, *many)} == {"done"}
    assert time.process_time() - begun < 1.0
