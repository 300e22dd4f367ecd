"""The half of the metadata service that guests speak with: a process of the user nobody, without any capability.

It tells guests apart by the address they ask from.  Port 80 is the metadata service; port 8080 is CloudStack's password
service: a GET whose header `DomU_Request` is `send_my_password` gets the password, until a second one with
`saved_password` says that the guest has it.  Sockets and state files come, opened, from `pileus.agent.metadata_server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import json
import os
import pwd
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pileus.dataplane import metadata

USER = "nobody"
LARGEST_PACKET = 4096
_LONGEST_HEAD = 8192  # bytes of a request's head
_PATIENCE = 10.0  # seconds for a whole exchange
_CONNECTIONS = 64  # of one guest at a time
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS, prctl(2)

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
Reply = Callable[[metadata.Guest, str, str], Coroutine[None, None, tuple[int, bytes]]]


@dataclasses.dataclass
class Router:
    """One router's machines by address, and its sockets."""

    guests: dict[str, metadata.Guest]
    servers: list[asyncio.Server] = dataclasses.field(default_factory=list[asyncio.Server])


class Worker:
    """Answers guests, and does what the opener says."""

    def __init__(self, opener: socket.socket, taken: Sequence[str]) -> None:
        self._opener = opener
        self._routers: dict[str, Router] = {}
        self._taken = set(taken)
        self._taking: dict[str, asyncio.Event] = {}
        self._open: dict[tuple[str, str], int] = {}
        self._orders: asyncio.Queue[tuple[dict[str, Any], list[int]]] = asyncio.Queue()

    async def run(self) -> None:
        """Serve until the opener is gone."""
        self._opener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._opener, self._heard)
        while True:
            order, descriptors = await self._orders.get()
            if not order:
                return
            if "serve" in order:
                await self._serve(str(order["serve"]), descriptors)
            elif "close" in order:
                self._close(str(order["close"]))
            self._send({"done": str(order.get("serve") or order.get("close"))})

    def _heard(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._opener, LARGEST_PACKET, 3)
        except ConnectionError:
            packet, descriptors = b"", []
        message: dict[str, Any] = json.loads(packet) if packet else {}
        if "taken" in message:
            password_id = str(message["taken"])
            self._taken.add(password_id)
            waiting = self._taking.pop(password_id, None)
            if waiting is not None:
                waiting.set()
            return
        if not packet:
            asyncio.get_running_loop().remove_reader(self._opener)
        self._orders.put_nowait((message, list(descriptors)))

    def _send(self, message: dict[str, str]) -> None:
        self._opener.send(json.dumps(message).encode())

    async def _serve(self, name: str, descriptors: list[int]) -> None:
        with os.fdopen(descriptors[0], "rb") as file:
            state = json.loads(file.read())
        guests = {address: metadata.Guest(**guest) for address, guest in state["guests"].items()}
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
        if not sockets:
            self._routers[name].guests = guests
            return
        self._close(name)
        router = self._routers[name] = Router(guests)
        for endpoint, reply in zip(sockets, (self._metadata, self._password), strict=True):
            endpoint.setblocking(False)
            server = await asyncio.start_server(self._client(name, reply), sock=endpoint, limit=_LONGEST_HEAD)
            router.servers.append(server)

    def _close(self, name: str) -> None:
        router = self._routers.pop(name, None)
        for server in router.servers if router else []:
            server.close()

    def _client(self, name: str, reply: Reply) -> Client:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            key = (name, writer.get_extra_info("peername")[0])
            self._open[key] = self._open.get(key, 0) + 1
            try:
                if self._open[key] <= _CONNECTIONS:
                    async with asyncio.timeout(_PATIENCE):
                        path, wish = await _request(reader)
                        router = self._routers.get(name)
                        guest = router.guests.get(key[1]) if router else None
                        status, body = await reply(guest, path, wish) if guest else (404, b"")
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

    async def _metadata(self, guest: metadata.Guest, path: str, _wish: str) -> tuple[int, bytes]:
        body = metadata.answer(guest, path)
        return (200, body) if body is not None else (404, b"")

    async def _password(self, guest: metadata.Guest, _path: str, wish: str) -> tuple[int, bytes]:
        if wish == "send_my_password":
            pending = guest.password and guest.password_id not in self._taken
            return 200, guest.password.encode() if pending else b"saved_password"
        if wish == "saved_password":
            await self._take(guest.password_id)
            return 200, b"saved_password"
        return 200, b"bad_request"

    async def _take(self, password_id: str) -> None:
        """Have it written down that a guest has its password, before it is told so."""
        if not password_id or password_id in self._taken:
            return
        if password_id not in self._taking:
            self._taking[password_id] = asyncio.Event()
            self._send({"take": password_id})
        await self._taking[password_id].wait()


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


def drop_privileges() -> None:
    """Become nobody for good: no groups, no capability, and none to be had by running a program."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(USER)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the metadata worker cannot give up its privileges")


def main(opener: socket.socket, taken: Sequence[str]) -> None:
    """Be the worker, until the opener is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir("/")
    drop_privileges()
    asyncio.run(Worker(opener, taken).run())
