"""What every operation of an agent works with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.wire.hosts import HostFacts
from pileus.wire.segments import PublicNetwork

if TYPE_CHECKING:
    from pileus.agent.certificate import HostCertificate
    from pileus.drivers.hypervisors.base import Hypervisor
    from pileus.drivers.storage.base import Fetch


@dataclasses.dataclass(kw_only=True)
class AgentContext:
    """The agent's folder, its cloud's name prefix, its network settings, and its drivers once they are up."""

    data: Path
    prefix: str
    host: str = ""  # the host's uuid
    tunnel_address: str = ""
    public: PublicNetwork = dataclasses.field(default_factory=PublicNetwork)
    uplink: str = "none"  # none | auto | name of an interface
    hypervisor: Hypervisor | None = None
    fetch: Fetch | None = None  # how templates are downloaded
    facts: Callable[[], HostFacts] | None = None
    certificate: HostCertificate | None = None
