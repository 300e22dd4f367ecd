"""What a hypervisor driver does; one small Protocol, and the error that all drivers share."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Protocol

from pileus.wire.machines import MachineSpec, MachineState
from pileus.wire.statistics import MachineStatistics


class HypervisorError(Exception):
    """Why the hypervisor cannot do it: a stable code, one sentence, and whether another try may help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.detail = detail


class Hypervisor(Protocol):
    """Machines of one cloud on one host; every method is idempotent and may be called from any thread."""

    name: str  # as the API calls it: "KVM", "Simulator"

    def version(self) -> str:
        """Tell the hypervisor's version."""
        ...

    def start(self, spec: MachineSpec, bridges: Mapping[str, str]) -> MachineState:
        """Run the machine as the spec says, its NICs (by uuid) on the bridges; one that runs is left alone."""
        ...

    def stop(self, name: str, *, force: bool, timeout: float) -> None:
        """Press the power button and pull the plug after `timeout` seconds; with `force` pull it at once."""
        ...

    def reboot(self, name: str, *, force: bool, timeout: float) -> MachineState:
        """Stop the machine as `stop` does, and start it again as it was."""
        ...

    def destroy(self, name: str) -> None:
        """Pull the plug and forget the machine; its volumes stay."""
        ...

    def list(self) -> list[MachineState]:
        """Look at all machines of this cloud, running or not."""
        ...

    def statistics(self) -> builtins.list[MachineStatistics]:
        """Measure what the running machines of this cloud use; shares of the CPU are since the call before."""
        ...

    def grow_disk(self, path: str, size: int) -> bool:
        """Let the running machine that has the disk at `path` see it with `size` bytes; False when none runs."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` (from a thread of the driver) soon after any machine started, stopped or crashed."""
        ...

    def close(self) -> None:
        """Stop watching; machines go on."""
        ...
