"""The command line of the agent: `pileus agent enrol | run | teardown`."""

from __future__ import annotations

import hashlib
import importlib
import logging
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import structlog
from cyclopts import Parameter

app = cyclopts.App(name="agent", help="The agent of a host: enrol it in a cloud, run it, tear it down.")


@app.command
def enrol(
    *,
    server: str,
    token: str,
    data: Path,
    name: str = "",
    address: str = "127.0.0.1",
    port: int = 8250,
    prefix: str = "",
    tunnel_address: str = "",
    public: Annotated[list[str] | None, Parameter(negative="")] = None,
    public_interface: str = "",
    uplink: str = "none",
    accelerator: Literal["auto", "kvm", "tcg"] = "auto",
    report_interval: float = 5.0,
    label: Annotated[dict[str, str] | None, Parameter(negative="")] = None,
) -> None:
    """Take this host into a cloud.

    Parameters
    ----------
    server: base URL of a management server for agents, https://ADDRESS:PORT.
    token: the one-time token, or @FILE to read it from a file.
    data: the cloud's data folder on this host; the agent's part is DATA/agent.
    name: name of the host; by default its host name.
    address: where management reaches the agent, and where it listens.
    port: where the agent listens.
    prefix: of the names of links and namespaces, at most 4 characters; by default made from the data folder's path.
    tunnel_address: address of this host for VXLAN between hosts.
    public: the gateway's own address on the public bridge with its prefix length, 203.0.113.1/24; may be repeated.
    public_interface: interface of this host that is plugged into the public bridge.
    uplink: none, auto, or the interface over which guests' outbound traffic is masqueraded.
    accelerator: auto proves hardware virtualisation by a probe guest.
    report_interval: seconds between reports.
    label: traffic label and its interface: --label.cloudbr0 eth1.
    """
    importlib.import_module("pileus.agent.lifecycle")  # registers all operations, which the facts name
    from pileus.agent.enrol import EnrolmentError
    from pileus.agent.enrol import enrol as join
    from pileus.agent.settings import Folder

    _log_to_stderr()
    folder = Folder(data)
    settings = folder.load()
    settings.name = name or settings.name or socket.gethostname()
    settings.address, settings.port = address, port
    settings.prefix = prefix or settings.prefix or _default_prefix(folder.path)
    settings.tunnel_address = tunnel_address
    settings.public, settings.public_interface = public or [], public_interface
    settings.uplink = uplink
    settings.accelerator = accelerator
    settings.report_interval = report_interval
    settings.labels = label or {}
    if token.startswith("@"):
        token = Path(token[1:]).read_text().strip()
    try:
        settings = join(folder, settings, server, token)
    except EnrolmentError as error:
        print(f"pileus agent enrol: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error
    print(settings.host)  # noqa: T201


@app.command
def run(*, data: Path) -> None:
    """Run the agent in the foreground; guests and routers go on when it ends."""
    from pileus.agent import lifecycle
    from pileus.agent.settings import Folder

    _log_to_stderr()
    folder = Folder(data)
    if not folder.enrolled:
        print(f"pileus agent run: {folder.path} is not enrolled; see pileus agent enrol", file=sys.stderr)  # noqa: T201
        raise SystemExit(1)
    try:
        lifecycle.run(folder)
    except lifecycle.AlreadyRunningError as error:
        print(f"pileus agent run: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from error


@app.command
def teardown(*, data: Path) -> None:
    """Shut down this cloud's guests here and remove its routers, bridges and libvirtd; `run` brings all back."""
    from pileus.agent import lifecycle
    from pileus.agent.settings import Folder

    _log_to_stderr()
    lifecycle.teardown(Folder(data))


def _default_prefix(path: Path) -> str:
    return "p" + hashlib.sha256(str(path).encode()).hexdigest()[:3]


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    app()
