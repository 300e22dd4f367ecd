"""Operations on machines: start, stop, reboot, destroy, list."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pyroute2
import structlog

from pileus.agent import machines
from pileus.agent.context import AgentContext
from pileus.agent.linux import cpu_limits, guard, limits, segments
from pileus.agent.linux.commands import CommandError
from pileus.agent.registry import OperationError, Progress, operation
from pileus.dataplane import checks
from pileus.dataplane.tap_guard import render_guard
from pileus.drivers.hypervisors.base import Hypervisor, HypervisorError
from pileus.wire.machines import (
    MachineRef,
    MachineSpec,
    MachineState,
    MachineStates,
    MachineStop,
    Nothing,
)

log = structlog.get_logger(__name__)

_complaints: dict[Path, str] = {}  # by the agent's folder: what was last said of its taps
_power = threading.Lock()  # over "it runs" in a machine's file


@operation("machine.start")
def start(context: AgentContext, arguments: MachineSpec, progress: Progress) -> MachineState:
    """Plug the segments, check the disks, and start the machine; one that runs is left alone."""
    spec = arguments
    kept = machines.find(context.data, spec.name)
    if kept is not None and kept.spec.generation > spec.generation:
        text = f"machine {spec.name} has generation {kept.spec.generation} here, newer than {spec.generation}"
        raise OperationError("stale", text)
    missing = [disk.volume for disk in spec.disks if not Path(disk.path).exists()]
    if missing:
        text = f"machine {spec.name} cannot start: its volumes are not on this host"
        raise OperationError("volume-missing", text, detail=", ".join(missing))
    _check_nics(context, spec)
    progress(0.1)
    machines.keep(context.data, spec, running=kept is not None and kept.running)
    bridges = _plug(context, spec)
    _guard(context)
    with translated():
        state = _hypervisor(context).start(spec, bridges)
    with _power:
        machines.keep(context.data, spec, running=True)
    look_after(context)
    return state


@operation("machine.stop")
def stop(context: AgentContext, arguments: MachineStop, progress: Progress) -> None:
    """Stop the machine by its power button, and by the plug when it does not react in time or is forced."""
    kept = machines.find(context.data, arguments.name)
    if kept is not None:
        machines.keep(context.data, kept.spec, running=False)
    progress(0.1)
    with translated():
        _hypervisor(context).stop(arguments.name, force=arguments.force, timeout=arguments.timeout)
    look_after(context)


@operation("machine.reboot")
def reboot(context: AgentContext, arguments: MachineStop, progress: Progress) -> MachineState:
    """Stop the machine as machine.stop does, and start it again."""
    progress(0.1)
    with translated():
        state = _hypervisor(context).reboot(
            machines.checked(arguments.name), force=arguments.force, timeout=arguments.timeout
        )
    kept = machines.find(context.data, arguments.name)
    if kept is not None:
        with _power:
            machines.keep(context.data, kept.spec, running=True)
    look_after(context)  # a new QEMU has new taps
    return state


@operation("machine.destroy")
def destroy(context: AgentContext, arguments: MachineRef, progress: Progress) -> None:
    """Power the machine off and forget it here, with its console log and its plugs; volumes stay."""
    kept = machines.find(context.data, arguments.name)
    progress(0.1)
    with translated():
        _hypervisor(context).destroy(machines.checked(arguments.name))
    if kept is not None:
        for nic in kept.spec.nics:
            segments.release(context, nic.segment, _holder(kept.spec))
    machines.forget(context.data, arguments.name)
    look_after(context)


@operation("machine.list")
def list_machines(context: AgentContext, arguments: Nothing, progress: Progress) -> MachineStates:
    """Tell the state of every machine here."""
    progress(0.1)
    with translated():
        return MachineStates(machines=_hypervisor(context).list())


def restore(context: AgentContext) -> None:
    """Start the machines that should run and do not: after a reboot, `pileus down`, or a kill of all processes."""
    hypervisor = _hypervisor(context)
    _guard(context)
    for kept in machines.all_kept(context.data):
        if not kept.running:
            continue
        try:
            hypervisor.start(kept.spec, _plug(context, kept.spec))
        except (HypervisorError, OperationError) as error:
            log.error(  # noqa: TRY400
                "a machine does not come back; start it by the API", machine=kept.spec.name, why=str(error)
            )
        else:
            log.info("machine is running again", machine=kept.spec.name)
    look_after(context)


def look_after(context: AgentContext) -> None:
    """Repair what keeps machines to their own addresses, rates and CPU; what fails is tried at each report."""
    known = machines.all_kept(context.data)
    try:
        if guard.ensure(context, (nic for each in known for nic in each.spec.nics)):
            log.info("the taps' guard was renewed", machines=len(known))
        changed = limits.ensure(context, (nic for each in known if each.running for nic in each.spec.nics))
        if changed:
            log.info("rates of NICs were limited", taps=changed)
        limited = cpu_limits.ensure(context.prefix, (each.spec for each in known if each.running))
        if limited:
            log.info("CPU use was limited", machines=limited)
        _complaints.pop(context.data, None)
    except (CommandError, pyroute2.NetlinkError, OSError) as error:
        if _complaints.get(context.data) != str(error):  # it is tried every few seconds: said once
            text = "machines cannot be kept to their addresses, rates and CPU; tried again at each report"
            log.exception(text, why=str(error))
        _complaints[context.data] = str(error)


_ENDED = ("off", "crashed")
"""Powers of machines that do not run: shut down from within, or lost with their process."""


def note_power_off(context: AgentContext, states: list[MachineState]) -> None:
    """Remember which of these machines ended by themselves, so that `restore` leaves them off."""
    wanted = {state.name for state in states if state.power in _ENDED}
    if not wanted:
        return
    with _power:  # a start that ends meanwhile waits, and has the last word
        off = {state.name: state.power for state in _hypervisor(context).list() if state.power in _ENDED}
        for kept in machines.all_kept(context.data):
            if kept.running and kept.spec.name in wanted & off.keys():
                machines.keep(context.data, kept.spec, running=False)
                log.info("machine ended by itself", machine=kept.spec.name, power=off[kept.spec.name])


@contextlib.contextmanager
def translated():
    """Turn errors of the hypervisor into those of operations."""
    try:
        yield
    except HypervisorError as error:
        raise OperationError(error.code, error.message, error.retryable, error.detail) from error


def _plug(context: AgentContext, spec: MachineSpec) -> dict[str, str]:
    """Make the segments of all NICs and return their bridges, by the NIC's uuid."""
    return {nic.uuid: segments.ensure(context, nic.segment, _holder(spec)) for nic in spec.nics}


def _check_nics(context: AgentContext, spec: MachineSpec) -> None:
    try:
        render_guard(context.prefix, spec.nics)
    except checks.SpecError as error:
        raise OperationError("invalid-spec", f"machine {spec.name}: {error}") from error


def _guard(context: AgentContext) -> None:
    """Renew the guard before a machine can send anything; without it none is started."""
    try:
        guard.ensure(context, (nic for kept in machines.all_kept(context.data) for nic in kept.spec.nics))
    except (CommandError, OSError) as error:
        text = "this host cannot keep machines to their own addresses, so none is started"
        raise OperationError("guard-failed", text, retryable=True, detail=str(error)) from error


def _holder(spec: MachineSpec) -> str:
    return f"machine:{spec.uuid}"


def _hypervisor(context: AgentContext) -> Hypervisor:
    if context.hypervisor is None:
        raise OperationError("hypervisor-down", "this agent has no hypervisor yet", retryable=True)
    return context.hypervisor
