"""Jobs that bring machines up: deploy and start."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.compute import model, settings, starting, usage, views
from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.api.jobs import ENCRYPTED
from pileus.core.errors import InsufficientCapacity
from pileus.core.jobs import HostCall, Job, JobFailed, OperationFailed, secret_operations, undo, workflow
from pileus.network import workflows as network_workflows
from pileus.wire.operations import Failure

log = structlog.get_logger(__name__)

VOLUME_SECONDS = 1800
"""A host may have to fetch a template first."""
MACHINE_SECONDS = 180
UNDO_SECONDS = 60

secret_operations("machine.start")  # the password of its console


def key(machine_id: int) -> str:
    """Return the key under which all jobs of a machine run one after another."""
    return f"machine:{machine_id}"


def shown(db: Connection, machine_id: int, *, admin: bool, **more: Any) -> dict[str, Any]:
    """Return a machine as a job's result."""
    row = database.one(db, machine, machine_id)
    view = views.machines(db, [row], admin=admin, jobs=False)[0]
    return {"virtualmachine": view | more}


def _deploy_failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave the machine in Error, holding nothing but its NICs, until it is destroyed."""
    settle(job, db, model.ERROR)


def _start_failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave the machine stopped."""
    settle(job, db, model.STOPPED)


def settle(job: Job, db: Connection, state: str) -> None:
    """Take a machine that did not start out of its transient state."""
    machine_id = int(job.arguments["machine"])
    starting.release(db, machine_id)
    expected = [model.STARTING, model.STOPPED] if state == model.ERROR else [model.STARTING]
    moved = database.change(
        db, machine, machine_id, expect={"state": expected}, state=state, power_state="PowerOff", updated=database.now()
    )
    if moved and state == model.ERROR:
        usage.machine_changed(db, machine_id, usage.DESTROYED)  # nobody is billed for what never came up


@workflow("machine.deploy", on_failure=_deploy_failed)
def deploy(
    job: Job, *, machine: int, where: dict[str, Any], implement: list[int], start: bool = True, password: str = ""
) -> None:
    """Bring a new machine up: networks, place, volumes, router, start.

    ``password`` (encrypted) is part of the job's result, which only those see in clear who ask for the job.
    """
    more = {"password": {ENCRYPTED: password}} if password else {}
    if not start:
        job.finish("shown", lambda db: shown(db, machine, admin=job.admin, **more))
        return
    for network_id in implement:
        job.child(
            f"network/{network_id}",
            network_workflows.implement,
            key=f"network:{network_id}",
            arguments={"network": network_id},
        )
    bring_up(job, machine, where, more)


@workflow("machine.start", on_failure=_start_failed)
def start(job: Job, machine: int, where: dict[str, Any], implement: list[int]) -> None:
    """Start a stopped machine."""
    for network_id in implement:
        job.child(
            f"network/{network_id}",
            network_workflows.implement,
            key=f"network:{network_id}",
            arguments={"network": network_id},
        )
    bring_up(job, machine, where, {})


def bring_up(job: Job, machine_id: int, where: dict[str, Any], more: dict[str, Any]) -> None:
    """Find a place and start the machine there; when a host fails, on another."""
    asked = msgspec.convert(where, starting.Where)

    def attempt(_number: int, failures: list[dict[str, Any]]) -> None:
        failed = tuple(sorted({int(f["host"]) for f in failures if f.get("host")}))
        try:
            _attempt(job, machine_id, msgspec.structs.replace(asked, avoid=failed), more)
        except InsufficientCapacity as error:
            if not failures:
                raise
            last = failures[-1]
            detail = f" ({last['detail']})" if job.admin and last["detail"] else ""
            raise InsufficientCapacity(f"{error.text}. The last attempt failed: {last['message']}{detail}") from error

    job.retry("place", attempt, times=job.services.settings.get(settings.DEPLOY_TRIES))


def _attempt(job: Job, machine_id: int, where: starting.Where, more: dict[str, Any]) -> None:
    output = job.commit(
        "reserve",
        lambda db: msgspec.to_builtins(
            starting.reserve(
                db,
                machine_id,
                where,
                generation=job.id,
                admin=job.admin,
                planner=job.services.settings.get(settings.PLANNER),
            )
        ),
        undo="machine.release",
    )
    placed = msgspec.convert(output, starting.Placed)
    if placed.former is not None:
        name = {"name": placed.spec["name"]}
        calls = [HostCall(placed.former, "machine.destroy", f"machine:{placed.spec['uuid']}", name)]
        job.calls("forget", calls, timeout=UNDO_SECONDS)  # best effort: it is off there
    calls = [
        HostCall(placed.host, "volume.create", f"volume:{create.uuid}", create.arguments) for create in placed.create
    ]
    answers = job.calls("volume", calls, undo="volume.discard", timeout=VOLUME_SECONDS)
    for answer in answers:
        if answer.state != "done":
            failure = answer.failure or Failure(code=answer.state, message="The host did not make the volume")
            raise OperationFailed(failure, placed.host, "volume.create")
    segments_of(job, placed)
    paths = {create.uuid: str(a.result["path"]) for create, a in zip(placed.create, answers, strict=True)}
    sizes = {create.uuid: a.result.get("physical") for create, a in zip(placed.create, answers, strict=True)}
    encrypted = placed.spec.get("vnc_password", "")
    spec = starting.spec_with_paths(placed, paths, job.services.secrets.decrypt(encrypted) if encrypted else "")
    result = job.call(
        "start",
        placed.host,
        "machine.start",
        f"machine:{placed.spec['uuid']}",
        spec,
        undo="machine.discard",
        timeout=MACHINE_SECONDS,
    )

    def finish(db: Connection) -> dict[str, Any]:
        starting.started(db, machine_id, paths, sizes, result.get("vnc_port") or None)
        return shown(db, machine_id, admin=job.admin, **more)

    job.finish("running", finish)


def segments_of(job: Job, placed: starting.Placed) -> None:
    """Wait until the other hosts of the networks know the machine's, and the routers know the machine."""
    routers = [("router", router_id) for router_id in placed.routers]
    job.converge_all([*(("segment", member) for member in placed.members), *routers])


@undo("machine.release")
def release(job: Job, output: dict[str, Any]) -> None:
    """Give the place back."""
    machine_id = int(job.arguments["machine"])
    job.commit("release", lambda db: starting.release(db, machine_id, output["create"]))


@undo("volume.discard")
def discard_volume(job: Job, output: dict[str, Any]) -> None:
    """Delete a volume that was made for a machine which did not start."""
    del output
    step = job.undoing
    assert step is not None and step.host is not None  # noqa: S101, PT018 (an undo of a call)
    arguments = {"pool": step.arguments["pool"], "uuid": step.arguments["uuid"]}
    _take_back(job, step.host, "volume.delete", step.object, arguments)


@undo("machine.discard")
def discard_machine(job: Job, output: dict[str, Any]) -> None:
    """Make sure that a machine whose start did not end well does not run after all."""
    del output
    step = job.undoing
    assert step is not None and step.host is not None  # noqa: S101, PT018 (an undo of a call)
    _take_back(job, step.host, "machine.destroy", step.object, {"name": step.arguments["name"]})


def _take_back(job: Job, host: int, kind: str, subject: str, arguments: dict[str, Any]) -> None:
    """Ask a host to take something back; one that is not up is not waited for: an alert names what it may hold."""
    why = job.commit("host", lambda db: starting.host_up(db, host))
    if why:
        raise JobFailed(f"host {host} {why}, so {kind} of {subject} was not done there")
    job.call("back", host, kind, subject, arguments, timeout=UNDO_SECONDS)
