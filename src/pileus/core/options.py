"""What a management server is told when it starts: the few facts that cannot stand in its database."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import msgspec

AGENT_PORT_OFFSET = 170
"""The listener for agents stands this far above the API's port unless another one is named (8080 -> 8250)."""


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the data is, where to listen, and how this cloud is told from others on the machine.

    Kept in ``DATA/server/options.json`` (mode 0600: the database's URL may hold a password), so that every
    command that works on the same data folder agrees with the running server.
    """

    data: Path  # the cloud's data folder; the server writes only below ``data/server``
    port: int = 8080  # the API
    listen: str = "0.0.0.0"  # noqa: S104 - the API is there to be reached; the agents' listener is guarded by mutual TLS
    database: str = ""  # SQLAlchemy's URL; "" = SQLite in the data folder
    agent_port: int = 0  # mutual TLS: /agent/enrol, /agent/report, images; 0 = the API's port + 170
    agent_address: str = ""  # where agents reach this server; "" = the address to listen on, or the machine's own
    tls_port: int = 0  # the API by HTTPS (tls.crt and tls.key in the server's folder); plain HTTP is on loopback then
    integration_port: int = 0  # unauthenticated, loopback only; 0 = closed
    simulator: bool = False  # hosts whose address is http://sim/... are simulated in this process
    prefix: str = ""  # of this cloud's links and namespaces: at most four characters
    report_interval: float = 5.0  # seconds between the reports of an agent

    @property
    def home(self) -> Path:
        """Return the only folder that the server owns and writes to."""
        return self.data / "server"

    @property
    def database_url(self) -> str:
        """Return the database's URL, the default one too."""
        return self.database or f"sqlite:///{self.home / 'pileus.db'}"

    @property
    def agents_port(self) -> int:
        """Return the port of the listener for agents, the default one too."""
        return self.agent_port or self.port + AGENT_PORT_OFFSET

    @property
    def agents_url(self) -> str:
        """Return the base URL at which agents reach this server; "" when it has only simulated hosts."""
        if self.simulator:
            return ""
        address = self.agent_address or self.listen
        try:
            if ipaddress.ip_address(address).is_unspecified:
                address = _own_address()
        except ValueError:
            pass  # a name
        return f"https://{f'[{address}]' if ':' in address else address}:{self.agents_port}"

    @property
    def plain_listen(self) -> str:
        """Return where the API is to be had by plain HTTP: where there is HTTPS, for this machine alone."""
        return "127.0.0.1" if self.tls_port else self.listen

    @property
    def tls_files(self) -> tuple[Path, Path]:
        """Return the certificate (with its chain) and the key for HTTPS."""
        return self.home / "tls.crt", self.home / "tls.key"

    @property
    def admin_file(self) -> Path:
        """Return where the server of a new cloud leaves the first admin's password and keys.

        JSON with ``username``, ``password``, ``apikey``, ``secretkey``; mode 0600.
        """
        return self.home / "admin.json"

    @property
    def token_file(self) -> Path:
        """Return where the server of a new cloud leaves the first one-time enrolment token (mode 0600)."""
        return self.home / "enrol.token"

    @property
    def builtin(self) -> Path:
        """Return the folder of the built-in templates, the only one that a template's file:// URL may name."""
        return self.home / "builtin"

    @property
    def images(self) -> Path:
        """Return the folder of the first image store."""
        return self.home / "images"

    @property
    def file(self) -> Path:
        """Return where these options are kept."""
        return self.home / "options.json"

    def save(self) -> None:
        """Write the options to their file (mode 0600), whole or not at all."""
        self.home.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self, enc_hook=str)))
        fresh.replace(self.file)

    @classmethod
    def load(cls, data: Path) -> Options:
        """Read the options of a data folder; defaults where there are none yet."""
        data = data.resolve()
        file = data / "server" / "options.json"
        if not file.exists():
            return cls(data=data)
        return msgspec.convert(msgspec.json.decode(file.read_bytes()) | {"data": data}, type=cls)


def _own_address() -> str:
    """Return the address by which this machine is seen from afar: loopback when it has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737, of nobody; a datagram socket only looks up the route
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
