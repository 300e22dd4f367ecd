"""What the agent remembers of its enrolment and of its host, in DATA/agent/agent.json, and where its files are."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pileus.agent import kept


class Settings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file's content."""

    host: str = ""  # uuid, made by the agent, the same for ever
    name: str = ""
    servers: list[str] = []  # base URLs of the management servers, the preferred one first
    origin: list[str] = []  # those that the host enrolled with, when it was told of others since
    address: str = ""  # where management reaches the agent, and where it listens
    port: int = 8250
    prefix: str = ""
    tunnel_address: str = ""
    public: list[str] = []  # "203.0.113.1/24": the gateway's own addresses on the public bridge
    public_interface: str = ""
    uplink: str = "none"
    accelerator: str = "auto"  # as asked for: auto kvm tcg
    accelerator_found: str = ""  # what the probe guest proved at enrolment
    report_interval: float = 5.0
    labels: dict[str, str] = {}


class Folder:
    """The agent's folder below the cloud's data folder."""

    def __init__(self, data: Path) -> None:
        self.path = data.resolve() / "agent"

    @property
    def keys(self) -> Path:
        """Folder of the key and the certificates."""
        return self.path / "keys"

    @property
    def settings(self) -> Path:
        """File of the settings."""
        return self.path / "agent.json"

    @property
    def enrolled(self) -> bool:
        """Tell whether the host has a certificate."""
        return (self.keys / "agent.crt").exists() and self.settings.exists()

    def make(self) -> None:
        """Make the folders: the agent's own may be passed through (QEMU's user must), the keys' may not."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        self.keys.mkdir(exist_ok=True)
        self.keys.chmod(0o700)

    def load(self) -> Settings:
        """Read the settings; those of a new agent when there are none."""
        if not self.settings.exists():
            return Settings()
        return msgspec.json.decode(self.settings.read_bytes(), type=Settings)

    def save(self, settings: Settings) -> None:
        """Write the settings."""
        kept.write(self.settings, msgspec.json.format(msgspec.json.encode(settings)), durable=True)
