"""What every operation of an agent works with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pileus.drivers.hypervisors.base import Hypervisor
    from pileus.drivers.storage.base import Fetch


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicNetwork:
    """The public network as this host provides it: CIDRs with the gateway's own address on the public bridge."""

    addresses: list[str] = dataclasses.field(default_factory=list[str])  # "203.0.113.1/24"
    interface: str = ""  # a real interface to attach; "" = the host itself is the gateway


@dataclasses.dataclass(kw_only=True)
class AgentContext:
    """The agent's folder, its cloud's name prefix, its network settings, and its drivers once they are up."""

    data: Path
    prefix: str
    tunnel_address: str = ""
    public: PublicNetwork = dataclasses.field(default_factory=PublicNetwork)
    uplink: str = "none"  # none | auto | name of an interface
    hypervisor: Hypervisor | None = None
    fetch: Fetch | None = None  # how templates are downloaded
