"""The half of the metadata service that is root: it opens sockets in routers' namespaces and reads the state files.

Guests never speak with it.  Each pair of listening sockets goes, with the router's state file opened for reading, to a
worker (`pileus.agent.metadata_worker`), a process of the user nobody without any capability, which answers guests.  The
two speak over a socket pair, a JSON object a packet:

    to the worker   {"serve": NAME} with the state file, and two listening sockets when they are new; {"close": NAME};
                    each is answered by {"done": NAME}
    from it         {"take": PASSWORD_ID}, answered by {"taken": PASSWORD_ID} once that is on the disk

    python -m pileus.agent.metadata_server --state DIR --control SOCKET
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pileus.agent import metadata_worker
from pileus.agent.linux.setns import inside

METADATA_PORT = 80
PASSWORD_PORT = 8080
_TAKEN = "taken"  # file with the ids of the passwords that guests have got
_RESCAN = 5.0  # seconds between looks at the folder when nobody calls
_ANSWER = 10.0  # seconds that the worker may take for an answer
_FORMER = 2.0  # seconds that a former worker may take to let its ports go


@dataclasses.dataclass(frozen=True)
class Known:
    """A router that the worker serves."""

    stamp: tuple[int, int]  # of the state file
    namespace: str
    inode: int  # of the namespace: another one by the same name needs new sockets
    address: str
    passwords: frozenset[str]  # ids


class Opener:
    """Keeps what the worker serves equal to the state files."""

    def __init__(self, state: Path, worker: socket.socket) -> None:
        self._state = state
        self._worker = worker
        self._known: dict[str, Known] = {}
        self._taken = set(_lines(state / _TAKEN))
        self._done: asyncio.Queue[str] = asyncio.Queue()
        self._reloading = asyncio.Lock()
        self.ended = asyncio.Event()  # the worker is gone
        worker.setblocking(False)
        asyncio.get_running_loop().add_reader(worker, self._heard)

    async def reload(self) -> None:
        """Open what is new, close what is gone, hand over what changed."""
        async with self._reloading:
            found = {path.stem: path for path in sorted(self._state.glob("*.json"))}
            for name in [name for name in self._known if name not in found]:
                await self._close(name)
            for name, path in found.items():
                try:
                    await self._refresh(name, path)
                except (OSError, ValueError, KeyError) as error:
                    _say(f"router {name}: cannot serve its metadata yet ({error}); looked at again in {_RESCAN:.0f} s")
                    await self._close(name)

    async def _refresh(self, name: str, path: Path) -> None:
        known = self._known.get(name)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            stamp = status.st_mtime_ns, status.st_ino
            if known is not None and known.stamp == stamp and _inode(known.namespace) == known.inode:
                return
            wanted = _read(file.read(), stamp)
            file.seek(0)
            sockets: list[socket.socket] = []
            if known is None or (known.inode, known.address) != (wanted.inode, wanted.address):
                await self._close(name)
                sockets = inside(wanted.namespace, lambda: _listen(wanted.address))
            self._known[name] = wanted
            try:
                await self._tell({"serve": name}, name, [file.fileno(), *(each.fileno() for each in sockets)])
            finally:
                for each in sockets:
                    each.close()  # the worker has its own, which alone keep the namespace

    async def _close(self, name: str) -> None:
        if self._known.pop(name, None) is not None:
            await self._tell({"close": name}, name)

    async def _tell(self, message: dict[str, str], name: str, descriptors: Sequence[int] = ()) -> None:
        """Send a packet and wait until the worker has done what it says."""
        self._send(message, descriptors)
        async with asyncio.timeout(_ANSWER):
            while await self._done.get() != name:
                pass  # of a packet that was given up

    def _send(self, message: dict[str, str], descriptors: Sequence[int] = ()) -> None:
        socket.send_fds(self._worker, [json.dumps(message).encode()], list(descriptors))

    def _heard(self) -> None:
        try:
            packet = self._worker.recv(metadata_worker.LARGEST_PACKET)
        except ConnectionError:
            packet = b""
        if not packet:
            asyncio.get_running_loop().remove_reader(self._worker)
            self.ended.set()
            return
        message: dict[str, Any] = json.loads(packet)
        if "done" in message:
            self._done.put_nowait(str(message["done"]))
        elif "take" in message:
            self._take(str(message["take"]))

    def _take(self, password_id: str) -> None:
        """Remember for good that a guest has its password, before it is told so."""
        known = any(password_id in router.passwords for router in self._known.values())
        if known and password_id and password_id not in self._taken:
            with (self._state / _TAKEN).open("a", encoding="utf-8") as file:
                file.write(password_id + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._taken.add(password_id)
        self._send({"taken": password_id})


def _read(content: bytes, stamp: tuple[int, int]) -> Known:
    state = json.loads(content)
    passwords = frozenset(guest["password_id"] for guest in state["guests"].values())
    return Known(stamp, state["namespace"], _inode(state["namespace"]), state["address"], passwords)


def _inode(namespace: str) -> int:
    return (Path("/run/netns") / namespace).stat().st_ino


def _listen(address: str) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for port in (METADATA_PORT, PASSWORD_PORT):
            endpoint = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            opened.append(endpoint)
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind_soon(endpoint, address, port)
            endpoint.listen(128)
    except OSError:
        for endpoint in opened:
            endpoint.close()
        raise
    return opened


def _bind_soon(endpoint: socket.socket, address: str, port: int) -> None:
    """Bind, and wait a little for the worker of a process that was killed just now to let the port go."""
    until = time.monotonic() + _FORMER
    while True:
        try:
            endpoint.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _bind(control: Path) -> socket.socket:
    control.unlink(missing_ok=True)
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        endpoint.bind(str(control))
    finally:
        os.umask(former)
    return endpoint


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def _say(text: str) -> None:
    """Write a line to the log, which is standard error; a logging library would double the memory."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


async def serve(state: Path, control: Path, worker: socket.socket) -> None:
    """Serve until SIGTERM or the worker's end; each connection to the control socket makes it look again."""
    opener = Opener(state, worker)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def controlled(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await opener.reload()
        writer.write(f"{os.getpid()}\n".encode())
        writer.close()

    ends = [asyncio.create_task(event.wait()) for event in (stop, opener.ended)]
    async with await asyncio.start_unix_server(controlled, sock=_bind(control)):
        while not any(end.done() for end in ends):
            await opener.reload()
            await asyncio.wait(ends, timeout=_RESCAN, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        _say("the worker has ended; the agent starts the service again")
    for end in ends:
        end.cancel()


def main() -> None:
    """Run both halves from the command line."""
    parser = argparse.ArgumentParser(prog="pileus.agent.metadata_server")
    parser.add_argument("--state", type=Path, required=True, help="folder with one state file a router")
    parser.add_argument("--control", type=Path, required=True, help="unix socket that asks it to look again")
    arguments = parser.parse_args()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    taken = _lines(arguments.state / _TAKEN)
    child = os.fork()
    if child == 0:
        ours.close()
        metadata_worker.main(theirs, taken)
        return
    theirs.close()
    try:
        asyncio.run(serve(arguments.state, arguments.control, ours))
    finally:
        ours.close()  # at which the worker ends
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
