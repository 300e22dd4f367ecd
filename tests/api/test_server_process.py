"""The server as a process: start, first admin, ports, stop."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pileus.core.options import Options
from pileus.core.pki import Authority, fingerprint, serial_of
from pileus.wire.enrolment import split_token
from tests.support.cloud import Person, signed
from tests.support.waiting import until

START = (
    "from pathlib import Path; import sys; from pileus.core.main import serve; from pileus.core.options import Options"
)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def server(options: Options) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of these options until the end of the block."""
    options.save()
    log = options.data / "server.log"
    argv = [sys.executable, "-c", f"{START}; serve(Options.load(Path(sys.argv[1])))", str(options.data)]
    with log.open("ab") as out, subprocess.Popen(argv, stderr=out) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait(options: Options, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{options.port}/client/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError((options.data / "server.log").read_text())


def ask(options: Options, command: str, person: Person) -> httpx.Response:
    return httpx.get(
        f"http://127.0.0.1:{options.port}/client/api", params=signed({"command": command, "response": "json"}, person)
    )


def test_a_server_starts_stops_and_starts_again(tmp_path: Path):
    port, integration = free_ports(2)
    options = Options(
        data=tmp_path, port=port, listen="127.0.0.1", simulator=True, integration_port=integration, database=""
    )
    with server(options) as process:
        wait(options, process)
        assert options.admin_file.stat().st_mode & 0o777 == 0o600
        found = json.loads(options.admin_file.read_bytes())
        options.admin_file.unlink()
        admin = Person("admin", found["apikey"], found["secretkey"])
        assert ask(options, "listUsers", admin).status_code == 200
        trusted = httpx.get(
            f"http://127.0.0.1:{integration}/client/api", params={"command": "listUsers", "response": "json"}
        )
        assert trusted.status_code == 200
        with pytest.raises(ConnectionRefusedError):  # of loopback, too, it has one address only
            socket.create_connection(("127.0.0.2", integration), 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with server(options) as process:
        wait(options, process)
        assert ask(options, "listUsers", admin).status_code == 200
        assert not options.admin_file.exists()
        assert found["password"] not in (tmp_path / "server.log").read_text()
        assert found["secretkey"] not in (tmp_path / "server.log").read_text()
        with server(options) as second:
            assert second.wait(60) == 1
            assert f"port {port}" in (tmp_path / "server.log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_token_of_a_real_cloud_fits_its_authority(tmp_path: Path):
    port, agents = free_ports(2)
    options = Options(data=tmp_path, port=port, agent_port=agents, listen="127.0.0.1")
    with server(options) as process:
        wait(options, process)
        argv = [sys.executable, "-P", "-m", "pileus.core.main", "token", "--data", str(tmp_path)]
        token = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        authority = httpx.get(f"https://127.0.0.1:{agents}/agent/authority", verify=False).text
        assert split_token(token)[1] == fingerprint(authority)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_api_by_https(tmp_path: Path):
    port, tls_port = free_ports(2)
    options = Options(data=tmp_path, port=port, listen="0.0.0.0", simulator=True, tls_port=tls_port)
    with server(options) as process:
        assert process.wait(60) == 1
    assert "HTTPS needs a certificate" in (tmp_path / "server.log").read_text()

    authority = Authority.open(tmp_path / "ca")

    def put(days: int) -> str:
        authority.issue_server("api", ["127.0.0.2"], tmp_path / "made", days)
        for name in ("crt", "key"):
            (tmp_path / "made" / f"server.{name}").replace(options.home / f"tls.{name}")
        return serial_of((options.home / "tls.crt").read_text())

    def shown() -> str:
        with (
            socket.create_connection(("127.0.0.2", tls_port), 5) as raw,
            trust.wrap_socket(raw, server_hostname="127.0.0.2") as tls,
        ):
            certificate = tls.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"]).lower().lstrip("0")

    serial = put(10)
    trust = ssl.create_default_context(cadata=authority.pem)
    with server(options) as process:
        wait(options, process)  # on loopback there is plain HTTP still
        found = json.loads(options.admin_file.read_bytes())
        asked = signed({"command": "listUsers", "response": "json"}, Person("a", found["apikey"], found["secretkey"]))
        url = f"https://127.0.0.2:{tls_port}/client/api"
        assert httpx.get(url, params=asked, verify=trust).status_code == 200
        log_in = {"command": "login", "username": "admin", "password": found["password"], "response": "json"}
        cookies = httpx.post(url, data=log_in, verify=trust).headers.get_list("set-cookie")
        assert len(cookies) == 2
        assert all("Secure" in cookie for cookie in cookies)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)
        assert shown() == serial
        new = put(20)
        until(lambda: shown() == new, 30, "the changed certificate")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
