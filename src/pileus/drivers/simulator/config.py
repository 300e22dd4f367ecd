"""What tests make simulated hosts do: be slow, fail, or never answer, by host and kind of operation."""

from __future__ import annotations

import threading
from typing import Literal

import msgspec

from pileus.wire.operations import Failure


class Fault(msgspec.Struct, kw_only=True):
    """What happens to the operations that it matches."""

    kind: str | None = None  # None = any
    host: int | None = None  # None = any
    latency: float = 0.0  # seconds more
    failure: Failure | None = None
    loss: Literal["", "request", "answer"] = ""  # which of the two never arrives
    times: int | None = None  # how often it still happens; None = always

    def matches(self, host: int, kind: str) -> bool:
        """Tell whether an operation is meant."""
        return self.kind in (None, kind) and self.host in (None, host) and self.times != 0


class SimulatorConfig:
    """The faults of all simulated hosts of this process; may be changed at any time from any thread."""

    def __init__(self, *, latency: float = 0.0) -> None:
        self.latency = latency  # seconds that every operation takes
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def fail(
        self,
        kind: str | None = None,
        *,
        host: int | None = None,
        code: str = "simulated",
        message: str = "The simulated host was told to fail",
        retryable: bool = False,
        times: int | None = None,
    ) -> Fault:
        """Let operations fail; returns the fault for ``remove``."""
        failure = Failure(code=code, message=message, retryable=retryable)
        return self._add(Fault(kind=kind, host=host, failure=failure, times=times))

    def delay(
        self, kind: str | None = None, *, host: int | None = None, seconds: float, times: int | None = None
    ) -> Fault:
        """Let operations take longer."""
        return self._add(Fault(kind=kind, host=host, latency=seconds, times=times))

    def lose(
        self,
        kind: str | None = None,
        *,
        host: int | None = None,
        what: Literal["request", "answer"] = "request",
        times: int | None = None,
    ) -> Fault:
        """Let operations never be answered: the host did not get them, or did them and its answer was lost."""
        return self._add(Fault(kind=kind, host=host, loss=what, times=times))

    def remove(self, fault: Fault) -> None:
        """Take a fault away again."""
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def clear(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()
            self.latency = 0.0

    def taken(self, host: int, kind: str) -> list[Fault]:
        """Return the faults that befall an operation, and count them."""
        if not self._faults:
            return []
        with self._lock:
            found = [fault for fault in self._faults if fault.matches(host, kind)]
            for fault in found:
                if fault.times is not None:
                    fault.times -= 1
            return found

    def _add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault
