"""One small process that serves metadata, user data and passwords to the guests of all routers of a cloud on a host.

It listens inside every router's namespace (a socket keeps the namespace it was made in), tells guests apart by the
address they ask from, and reads each router's state again whenever its file changes.  Port 80 is the metadata
service; port 8080 is CloudStack's password service: a GET whose header `DomU_Request` is `send_my_password` gets
the password, until a second one with `saved_password` says that the guest has it.

    python -m pileus.agent.metadata_server --state DIR --control SOCKET
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from pileus.agent.linux.setns import inside
from pileus.dataplane import metadata

METADATA_PORT = 80
PASSWORD_PORT = 8080
_LONGEST_HEAD = 8192  # bytes of a request's head
_PATIENCE = 10.0  # seconds for a whole exchange
_CONNECTIONS = 64  # of one guest at a time
_TAKEN = "taken"  # file with the ids of the passwords that guests have got
_RESCAN = 5.0  # seconds between looks at the folder when nobody calls

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@dataclasses.dataclass(frozen=True)
class Service:
    """One router's service: where it listens, and its machines by address."""

    namespace: str
    address: str
    guests: dict[str, metadata.Guest]


@dataclasses.dataclass
class Listener:
    """One router's sockets and state."""

    inode: int  # of the namespace: another one by the same name needs new sockets
    stamp: tuple[int, int]  # of the state file
    service: Service
    servers: list[asyncio.Server] = dataclasses.field(default_factory=list[asyncio.Server])


class MetadataServer:
    """Keeps listeners equal to the state files, and answers guests."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._listeners: dict[str, Listener] = {}
        self._taken = set(_lines(state / _TAKEN))
        self._open: dict[tuple[str, str], int] = {}
        self._reloading = asyncio.Lock()

    async def reload(self) -> None:
        """Open what is new, close what is gone, take over what changed."""
        async with self._reloading:
            await self._reload()

    async def _reload(self) -> None:
        found = {path.stem: path for path in sorted(self._state.glob("*.json"))}
        for name in [name for name in self._listeners if name not in found]:
            self._close(name)
        for name, path in found.items():
            try:
                await self._refresh(name, path)
            except (OSError, ValueError) as error:
                _say(f"router {name}: cannot serve its metadata yet ({error}); looked at again in {_RESCAN:.0f} s")
                self._close(name)

    async def _refresh(self, name: str, path: Path) -> None:
        stamp = _stamp(path)
        known = self._listeners.get(name)
        service = known.service if known and known.stamp == stamp else _read(path)
        inode = (Path("/run/netns") / service.namespace).stat().st_ino
        if known and (known.inode, known.service.address) == (inode, service.address):
            known.service, known.stamp = service, stamp
            return
        self._close(name)
        sockets = inside(service.namespace, lambda: _listen(service.address))
        listener = Listener(inode, stamp, service)
        self._listeners[name] = listener
        for endpoint, answer in zip(sockets, (self._metadata, self._password), strict=True):
            client = self._client(name, answer)
            listener.servers.append(await asyncio.start_server(client, sock=endpoint, limit=_LONGEST_HEAD))

    def _close(self, name: str) -> None:
        listener = self._listeners.pop(name, None)
        for server in listener.servers if listener else []:
            server.close()

    def _client(self, name: str, answer: Callable[[metadata.Guest, str, str], tuple[int, bytes]]) -> Client:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            key = (name, writer.get_extra_info("peername")[0])
            self._open[key] = self._open.get(key, 0) + 1
            try:
                if self._open[key] <= _CONNECTIONS:
                    async with asyncio.timeout(_PATIENCE):
                        path, wish = await _request(reader)
                        guest = self._guest(*key)
                        status, body = answer(guest, path, wish) if guest else (404, b"")
                        writer.write(_response(status, body))
                        await writer.drain()
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
                pass  # a guest that speaks no HTTP, or went away: its own matter
            finally:
                self._open[key] -= 1
                if not self._open[key]:
                    del self._open[key]
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

        return serve

    def _guest(self, name: str, address: str) -> metadata.Guest | None:
        listener = self._listeners.get(name)
        if listener is None:
            return None
        path = self._state / f"{name}.json"
        try:
            stamp = _stamp(path)
            if stamp != listener.stamp:
                listener.service, listener.stamp = _read(path), stamp
        except FileNotFoundError:
            return None
        return listener.service.guests.get(address)

    def _metadata(self, guest: metadata.Guest, path: str, _wish: str) -> tuple[int, bytes]:
        body = metadata.answer(guest, path)
        return (200, body) if body is not None else (404, b"")

    def _password(self, guest: metadata.Guest, _path: str, wish: str) -> tuple[int, bytes]:
        if wish == "send_my_password":
            pending = guest.password and guest.password_id not in self._taken
            return 200, guest.password.encode() if pending else b"saved_password"
        if wish == "saved_password":
            self._take(guest.password_id)
            return 200, b"saved_password"
        return 200, b"bad_request"

    def _take(self, password_id: str) -> None:
        """Remember for good that a guest has its password, before it is told so."""
        if not password_id or password_id in self._taken:
            return
        with (self._state / _TAKEN).open("a", encoding="utf-8") as file:
            file.write(password_id + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._taken.add(password_id)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Read a request's head; returns its path and its header DomU_Request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    if method not in ("GET", "HEAD"):
        raise ValueError(method)
    headers = dict(line.split(":", 1) for line in head[1:] if ":" in line)
    wish = next((value.strip() for name, value in headers.items() if name.lower() == "domu_request"), "")
    return path, wish


def _response(status: int, body: bytes) -> bytes:
    reason = "OK" if status == 200 else "Not Found"
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _listen(address: str) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for port in (METADATA_PORT, PASSWORD_PORT):
            endpoint = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            opened.append(endpoint)
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            endpoint.bind((address, port))
            endpoint.listen(128)
    except OSError:
        for endpoint in opened:
            endpoint.close()
        raise
    return opened


def _bind(control: Path) -> socket.socket:
    control.unlink(missing_ok=True)
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        endpoint.bind(str(control))
    finally:
        os.umask(former)
    return endpoint


def _read(path: Path) -> Service:
    state = json.loads(path.read_bytes())
    guests = {address: metadata.Guest(**guest) for address, guest in state["guests"].items()}
    return Service(state["namespace"], state["address"], guests)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def _say(text: str) -> None:
    """Write a line to the log, which is standard error; a logging library would double the memory."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


async def serve(state: Path, control: Path) -> None:
    """Serve until SIGTERM; each connection to the control socket makes it look at the state files again."""
    server = MetadataServer(state)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def controlled(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.reload()
        writer.write(f"{os.getpid()}\n".encode())
        writer.close()

    async with await asyncio.start_unix_server(controlled, sock=_bind(control)):
        while not stop.is_set():
            await server.reload()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RESCAN)


def main() -> None:
    """Run the server from the command line."""
    parser = argparse.ArgumentParser(prog="pileus.agent.metadata_server")
    parser.add_argument("--state", type=Path, required=True, help="folder with one state file a router")
    parser.add_argument("--control", type=Path, required=True, help="unix socket that asks it to look again")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.state, arguments.control))


if __name__ == "__main__":
    main()
