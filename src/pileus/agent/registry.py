"""The operations that this agent knows, by kind: `@operation("machine.start")` registers a function."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from pileus.agent.context import AgentContext
from pileus.wire.operations import Failure

Progress = Callable[[float], None]
Handler = Callable[[AgentContext, Any, Progress], msgspec.Struct | None]


class OperationError(Exception):
    """Why an operation cannot be done: a code, a sentence for people, and whether another try may help."""

    def __init__(self, code: str, message: str, retryable: bool = False, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.detail = detail

    def failure(self) -> Failure:
        """Render the error as it crosses the wire."""
        return Failure(code=self.code, message=self.message, detail=self.detail, retryable=self.retryable)


class Kind(msgspec.Struct, frozen=True):
    """One kind of operation: function, argument struct, and whether a restart may run it again."""

    name: str
    handler: Handler
    arguments: type[msgspec.Struct]
    resumable: bool


_kinds: dict[str, Kind] = {}

F = typing.TypeVar("F", bound=Callable[..., msgspec.Struct | None])


def operation(kind: str, *, resumable: bool = True) -> Callable[[F], F]:
    """Register a function as the handler of `kind`; its second parameter's annotation types the arguments."""

    def register(function: F) -> F:
        if kind in _kinds:
            raise ValueError(f"operation {kind} is registered twice")
        hints = typing.get_type_hints(function)
        second = list(inspect.signature(function).parameters)[1]
        _kinds[kind] = Kind(kind, function, hints[second], resumable)
        return function

    return register


def find(kind: str) -> Kind | None:
    """Return the kind of that name, if this agent knows it."""
    return _kinds.get(kind)


def kinds() -> list[str]:
    """Name all kinds that were registered."""
    return sorted(_kinds)
