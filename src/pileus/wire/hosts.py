"""What a host says of itself: at enrolment and in its reports."""

from __future__ import annotations

import msgspec

from pileus.wire.machines import MachineState
from pileus.wire.statistics import Statistics
from pileus.wire.storage import PoolState


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the host is and can do."""

    uuid: str  # the agent's own, kept in its data folder
    name: str
    hypervisor: str  # "KVM" | "Simulator"
    hypervisor_version: str
    accelerator: str  # "kvm" when a probe guest really started with it, else "tcg"
    cpus: int
    cpu_mhz: int
    cpu_model: str
    memory_mib: int
    cpu_sockets: int = 0  # 0 = not known
    architecture: str = "x86_64"
    tunnel_address: str = ""  # for VXLAN
    limits_cpu: bool = False  # whether it can keep machines below their MHz
    isolation: list[str] = []  # what the kernel can do: "vxlan", "vlan"
    operations: list[str] = []  # the kinds of operation that this agent knows
    version: str = ""
    labels: dict[str, str] = {}  # traffic label -> interface


class HostPassword(msgspec.Struct, frozen=True, kw_only=True):
    """A new password of one of the host's own users."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Name the user only."""
        return f"HostPassword({self.username!r})"


class RouterState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the host says of one router."""

    name: str
    uuid: str
    generation: int  # of the spec that was applied last
    running: bool
    drift: bool = False  # found different from the spec, and repaired
    bytes_in: int = 0
    bytes_out: int = 0
    passwords_taken: list[str] = []  # ids of those passwords in the applied spec that the guests have got


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent sends every few seconds."""

    host: str  # uuid
    sequence: int
    boot: str  # id of this boot: changes when the host was restarted
    machines: list[MachineState] = []
    routers: list[RouterState] = []
    pools: list[PoolState] = []
    load: float = 0.0
    memory_used_mib: int = 0
    statistics: Statistics | None = None  # when it was time to measure
    facts: HostFacts | None = None  # with the first report after the agent's start, and when they change
