"""Operations on virtual routers: bring one to its desired state, stop it, destroy it, look after it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import msgspec
import pyroute2
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.kept import KeptRouter
from pileus.agent.linux import metadata, router
from pileus.agent.linux.commands import CommandError
from pileus.agent.registry import OperationError, Progress, operation
from pileus.dataplane import checks
from pileus.wire.hosts import RouterState
from pileus.wire.router import RouterReference, RouterSpec

log = structlog.get_logger(__name__)

_AT_ONCE = 8  # routers whose wiring is looked at in one round; the others' rules and processes only
_rounds = itertools.count()
_locks: defaultdict[tuple[Path, str], threading.RLock] = defaultdict(threading.RLock)


@operation("router.apply")
def apply(context: AgentContext, arguments: RouterSpec, progress: Progress) -> RouterState:
    """Make the router as specified, changing only what differs.

    Raises OperationError `invalid-spec`, `stale` (an older generation than the applied one) or `router-failed`.
    """
    del progress  # far too quick to tell of
    _check(context, arguments)
    with _locks[context.data, arguments.name]:
        known = _fresh(context, arguments.name, arguments.generation)
        with _failures(arguments.name):
            if known and _moved(known.spec, arguments):
                router.remove(context, known.spec)
            if known is None or known.spec != arguments or not known.running:
                kept.keep_router(context, KeptRouter(spec=arguments))
            newer = known is not None and known.running and known.spec.generation < arguments.generation
            router.converge(context, arguments, quick=newer)
        return _state(context, arguments, drift=False)


@operation("router.stop")
def stop(context: AgentContext, arguments: RouterReference, progress: Progress) -> RouterState | None:
    """Stop the router: no process, namespace or cable of it stays; its specification does."""
    del progress
    with _locks[context.data, _name(arguments)]:
        known = _fresh(context, arguments.name, arguments.generation)
        if known is None:
            return None
        kept.keep_router(context, msgspec.structs.replace(known, running=False))
        with _failures(arguments.name):
            router.remove(context, known.spec)
        return _state(context, known.spec, drift=False)


@operation("router.destroy")
def destroy(context: AgentContext, arguments: RouterReference, progress: Progress) -> None:
    """Stop the router and forget it."""
    if stop(context, arguments, progress) is not None:
        with _locks[context.data, arguments.name]:
            shutil.rmtree(kept.router_folder(context, arguments.name))


@operation("router.inspect")
def inspect(context: AgentContext, arguments: RouterReference, progress: Progress) -> RouterState:
    """Compare the router with its specification, and repair what is different."""
    del progress
    with _locks[context.data, _name(arguments)]:
        known = kept.router(context, arguments.name)
        if known is None:
            raise OperationError("unknown-router", f"this host has no router {arguments.name}")
        if not known.running:
            return _state(context, known.spec, drift=False)
        with _failures(arguments.name):
            return _look_after(context, known.spec)


def list_routers(context: AgentContext, repair: bool = True) -> list[RouterState]:
    """Say of every kept router how it is; repair what differs, unless an operation is at it right now.

    Rules, dnsmasq and metadata are looked at in every round, links, addresses and routes of a few routers in turn.
    """
    states: list[RouterState] = []
    known = kept.routers(context)
    if repair and any(each.running for each in known):
        _look_after_metadata(context)
    first = next(_rounds) * _AT_ONCE
    for number, each in enumerate(known):
        quick = (number - first) % len(known) >= _AT_ONCE
        lock = _locks[context.data, each.spec.name]
        if not lock.acquire(blocking=False):
            states.append(_state(context, each.spec, drift=False))
            continue
        try:
            newest = kept.router(context, each.spec.name)
            if newest is None:
                continue
            if not (repair and newest.running):
                states.append(_state(context, newest.spec, drift=False))
                continue
            with _failures(newest.spec.name):
                states.append(_look_after(context, newest.spec, quick=quick))
        except OperationError as error:
            log.exception(
                "router differs from its specification and cannot be repaired; tried again soon",
                router=each.spec.name,
                reason=error.message,
            )
            states.append(_state(context, each.spec, drift=True))
        finally:
            lock.release()
    return states


def restore(context: AgentContext) -> None:
    """Bring back every router that should run, as after a reboot of the host; what fails is tried at each report."""
    for state in list_routers(context):
        log.info("router restored", router=state.name, running=state.running)


def teardown(context: AgentContext) -> None:
    """Take every router away without forgetting its specification."""
    for each in kept.routers(context):
        with _locks[context.data, each.spec.name], _failures(each.spec.name):
            router.remove(context, each.spec)
    metadata.stop(context)


def passwords_taken(context: AgentContext) -> frozenset[str]:
    """Return the ids of the passwords that guests have fetched from this host's routers."""
    return metadata.taken(context)


def _look_after(context: AgentContext, spec: RouterSpec, *, quick: bool = False) -> RouterState:
    changes = router.converge(context, spec, quick=quick)
    if changes:
        log.warning("router differed from its specification and was repaired", router=spec.name, changes=changes)
    return _state(context, spec, drift=bool(changes))


def _look_after_metadata(context: AgentContext) -> None:
    try:
        if metadata.ensure_running(context):
            log.warning("the metadata process did not run and was started")
    except CommandError as error:
        log.exception("the metadata process cannot be started; tried again at the next report", reason=str(error))


def _state(context: AgentContext, spec: RouterSpec, *, drift: bool) -> RouterState:
    came_in, went_out = router.traffic(context, spec)
    return RouterState(
        name=spec.name,
        uuid=spec.uuid,
        generation=spec.generation,
        running=router.is_running(context, spec),
        drift=drift,
        bytes_in=came_in,
        bytes_out=went_out,
        passwords_taken=sorted(
            {host.password_id for host in spec.hosts if host.password_id} & passwords_taken(context)
        ),
    )


def _check(context: AgentContext, spec: RouterSpec) -> None:
    try:
        router.render(context, spec)
    except checks.SpecError as error:
        raise OperationError("invalid-spec", str(error)) from error


def _name(reference: RouterReference) -> str:
    try:
        return checks.router_name(reference.name)
    except checks.SpecError as error:
        raise OperationError("invalid-spec", str(error)) from error


def _fresh(context: AgentContext, name: str, generation: int) -> KeptRouter | None:
    known = kept.router(context, name)
    if known and generation and generation < known.spec.generation:
        message = f"generation {generation} of router {name} is older than {known.spec.generation}, which is applied"
        raise OperationError("stale", message)
    return known


def _moved(old: RouterSpec, new: RouterSpec) -> bool:
    """Tell whether the router cannot be changed into the new one: it is plugged elsewhere."""
    before, after = old.guest.segment, new.guest.segment
    return (old.uuid, before.kind, before.tag, before.label) != (new.uuid, after.kind, after.tag, after.label)


@contextlib.contextmanager
def _failures(name: str) -> Generator[None, None, None]:
    try:
        yield
    except (CommandError, pyroute2.NetlinkError, OSError) as error:
        message = f"router {name} could not be brought to its desired state: {error}"
        raise OperationError("router-failed", message, retryable=True) from error
