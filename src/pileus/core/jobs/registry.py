"""Everything that slices register by name: workflows, undos, convergers, periodic work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from pileus.wire.operations import Failure

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C")


class Workflow(msgspec.Struct, frozen=True):
    """A registered workflow."""

    name: str
    function: Callable[..., Any]
    on_failure: Callable[..., Any] | None


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """An object's whole desired state, as an operation for its host.

    ``generation`` may be left out: the engine numbers the operation by what was desired when rendering began.
    """

    host: int | None
    kind: str
    object: str
    arguments: dict[str, Any]
    generation: int = 0
    timeout: float = 60


class Converger(Protocol):
    """How objects of one kind are brought to their desired state."""

    def render(self, db: Connection, object_id: int) -> Rendered | None:
        """Return the newest desired state, or None when there is nothing to apply."""
        ...

    def applied(self, db: Connection, object_id: int, generation: int, result: dict[str, Any]) -> None:
        """Take note, in the transaction that records it, that a generation has been applied."""
        ...

    def failed(self, db: Connection, object_id: int, generation: int, failure: Failure) -> None:
        """Take note that a generation could not be applied."""
        ...


Period = float | Callable[[Any], float]
"""Seconds, or what tells them when it is given the services: by a setting; ``math.inf`` for not now."""


class Periodic(msgspec.Struct, frozen=True):
    """Work that is done once in the whole cluster per period."""

    name: str
    every: Period
    function: Callable[[Any], None]

    def period(self, services: Any) -> float:
        """Return the seconds between two runs, as they are now."""
        return self.every(services) if callable(self.every) else self.every


workflows: dict[str, Workflow] = {}
undos: dict[str, Callable[..., Any]] = {}
convergers: dict[str, Converger] = {}
periodics: dict[str, Periodic] = {}


def _claim_name(registry: dict[str, Any], name: str, function: Any) -> None:
    """Refuse a second owner of a name (a module that is loaded again may register itself again)."""
    known = registry.get(name)
    if known is None:
        return
    known = getattr(known, "function", known)
    place = (getattr(known, "__module__", ""), getattr(known, "__qualname__", type(known).__qualname__))
    if place != (
        getattr(function, "__module__", ""),
        getattr(function, "__qualname__", type(function).__qualname__),
    ):
        raise ValueError(f"{name} is registered already, by {place[0]}.{place[1]}")


def workflow(name: str, *, on_failure: Callable[..., Any] | None = None) -> Callable[[_F], _F]:
    """Register a workflow: ``function(job, **arguments)``, with arguments that JSON can hold.

    ``on_failure(job, db, error)`` runs after all undos, in the transaction that marks the job failed: the place to
    take objects out of transient states.  ``error`` is a JobFailed.
    """

    def register(function: _F) -> _F:
        _claim_name(workflows, name, function)
        workflows[name] = Workflow(name, function, on_failure)
        function.__dict__["workflow"] = name
        return function

    return register


def undo(name: str) -> Callable[[_F], _F]:
    """Register an undo: ``function(job, output)``, to be safe to repeat."""

    def register(function: _F) -> _F:
        _claim_name(undos, name, function)
        undos[name] = function
        return function

    return register


def converger(kind: str) -> Callable[[type[_C]], type[_C]]:
    """Register a class with the methods of Converger (made without arguments) for a kind of object."""

    def register(cls: type[_C]) -> type[_C]:
        made: Any = cls()
        _claim_name(convergers, kind, made)
        convergers[kind] = made
        return cls

    return register


def periodic(name: str, *, every: Period) -> Callable[[_F], _F]:
    """Register ``function(services)`` to be run every so many seconds, by one server of the cluster.

    A period that is told by a function holds from the last run on, so a changed setting takes effect at once.
    """

    def register(function: _F) -> _F:
        _claim_name(periodics, name, function)
        periodics[name] = Periodic(name, every, function)
        return function

    return register


def name_of(function: Callable[..., Any]) -> str:
    """Return the name under which a workflow is registered."""
    name = getattr(function, "workflow", None)
    if name is None:
        raise ValueError(f"{function!r} is not a workflow: decorate it with @workflow(name)")
    return name
