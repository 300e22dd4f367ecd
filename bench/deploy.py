"""How fast machines are deployed: a real server process, simulated hosts, 100 clients, the full durable path.

    .venv/bin/python bench/deploy.py [--machines 1000] [--clients 100] [--networks N] [--postgres] [--profile FILE]

Without --machines and --postgres: 1,000 and 10,000, on SQLite and on PostgreSQL with two servers.
Prints ``name value unit bar`` lines.  Bars: 1,000 machines in 30 s, 10,000 in 360 s, on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.zones import simulated_zone

from bench._figures import finish, report
from pileus.core import signing
from pileus.core.options import Options

BARS = {1_000: 30.0, 10_000: 360.0}
FIRST_POLL, LATER_POLL = 1.0, 1.0


class Client:
    """A keep-alive HTTP client of one connection: as little work as possible beside the server's."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._url = urlsplit(url)
        self._key, self._secret = key, secret
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Return what is in the wrapper; RuntimeError when it is a refusal."""
        asked = {name: str(value) for name, value in parameters.items()}
        asked |= {"command": command, "response": "json", "apiKey": self._key}
        body = urlencode(asked | {"signature": signing.sign(asked, self._secret)}).encode()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._url.hostname, self._url.port)
        reader, writer = self._streams
        writer.write(
            b"POST /client/api HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        status = int((await reader.readline()).split()[1])
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        (content,) = json.loads(await reader.readexactly(length)).values()
        if status != 200:
            raise RuntimeError(f"{command}: {status} {content.get('errortext')}")
        return content

    async def job(self, command: str, **parameters: Any) -> Any:
        """Call, and wait for the job as real clients do: they look once a second."""
        made = await self.call(command, **parameters)
        pause = FIRST_POLL
        while True:
            await asyncio.sleep(pause)
            pause = LATER_POLL
            answer = await self.call("queryAsyncJobResult", jobid=made["jobid"])
            if answer["jobstatus"] == 1:
                return next(iter(answer["jobresult"].values()))
            if answer["jobstatus"] != 0:
                raise RuntimeError(f"{command}: {answer['jobresult']}")


class Setup:
    """The calls that setting up a zone needs, one after another."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self._arguments = url, key, secret
        self._loop = asyncio.new_event_loop()
        self._client = Client(*self._arguments)

    def api(self, command: str, **parameters: Any) -> dict[str, Any]:
        flat = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items()}
        return self._loop.run_until_complete(self._client.call(command, **flat))

    def job(self, command: str, **parameters: Any) -> Any:
        made = self.api(command, **parameters)
        while (answer := self.api("queryAsyncJobResult", jobid=made["jobid"]))["jobstatus"] == 0:
            time.sleep(0.02)
        if answer["jobstatus"] != 1:
            raise RuntimeError(f"{command}: {answer['jobresult']}")
        return next(iter(answer["jobresult"].values()))

    def list(self, command: str, **parameters: Any) -> list[dict[str, Any]]:
        answer = self.api(command, **parameters)
        return next((value for value in answer.values() if isinstance(value, list)), [])


def serve(data: str, port: int, database: str, profile: str) -> None:
    """Run a server in this process, with its worker threads under a profiler when a file is named."""
    from pileus.core.main import serve as run

    Path(data).mkdir(parents=True, exist_ok=True)
    with (Path(data) / "log").open("w") as log:
        os.dup2(log.fileno(), 2)
    if profile:
        _profile(profile)
    run(Options(data=Path(data), port=port, listen="127.0.0.1", database=database, simulator=True))


def _profile(file: str) -> None:
    """Profile every thread that is started from now on; the sum is written when the process ends."""
    import atexit
    import cProfile
    import pstats

    profiles: list[cProfile.Profile] = []
    original = threading.Thread.run

    def profiled(self: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        profile.runcall(original, self)

    threading.Thread.run = profiled  # type: ignore[method-assign]
    main = cProfile.Profile(time.thread_time)
    main.enable()

    def write() -> None:
        main.disable()
        stats = pstats.Stats(main)
        for each in profiles:
            with contextlib.suppress(TypeError):
                stats.add(each)
        stats.dump_stats(file)

    atexit.register(write)


@contextlib.contextmanager
def servers(count: int, database: str, profile: str) -> Iterator[tuple[list[str], list[int], dict[str, str]]]:
    """Run servers in a folder that is removed afterwards; yield their URLs, their process ids, the admin's keys."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        running: list[Any] = []
        urls: list[str] = []
        try:
            for number in range(count):
                data = Path(folder) / "data" if not number else Path(folder) / f"data{number}"
                if number:
                    (data / "server").mkdir(parents=True)
                    (data / "server" / "secrets.key").write_bytes(
                        (Path(folder) / "data" / "server" / "secrets.key").read_bytes()
                    )
                port = free_port()
                process = spawn.Process(
                    target=serve, args=(str(data), port, database, profile if not number else ""), daemon=True
                )
                process.start()
                running.append(process)
                urls.append(f"http://127.0.0.1:{port}")
                wait_for(port)
            keys = json.loads(Options(data=Path(folder) / "data").admin_file.read_bytes())
            yield urls, [process.pid for process in running], keys
        finally:
            for process in running:
                os.kill(process.pid, signal.SIGTERM)
            for process in running:
                process.join(20)
                if process.is_alive():
                    process.kill()


def free_port() -> int:
    """Return a port of loopback that is free, as is the one for agents above it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 170))
                return port


def wait_for(port: int) -> None:
    """Wait until a server listens."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not start within 30 s")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def deploy_all(
    urls: list[str], keys: dict[str, str], zone: dict[str, str], networks: list[str], machines: int, clients: int
) -> list[float]:
    """Deploy machines with so many clients at once; return how long each took to be seen running."""
    numbers = iter(range(machines))
    took: list[float] = []

    async def client(which: int) -> None:
        await asyncio.sleep(which * FIRST_POLL / clients)
        api = Client(urls[which % len(urls)], keys["apikey"], keys["secretkey"])
        for number in numbers:
            begun = time.monotonic()
            machine = await api.job(
                "deployVirtualMachine",
                zoneid=zone["zone"],
                templateid=zone["template"],
                serviceofferingid=zone["offering"],
                networkids=networks[number % len(networks)],
                name=f"m{number}",
            )
            if machine["state"] != "Running":
                raise RuntimeError(f"machine {number} is {machine['state']}")
            took.append(time.monotonic() - begun)

    await asyncio.gather(*(client(which) for which in range(clients)))
    return took


def networks_of(setup: Setup, zone: dict[str, str], count: int) -> list[str]:
    """Make isolated networks with room for the machines."""
    return [
        setup.api(
            "createNetwork",
            name=f"n{number}",
            displaytext=f"n{number}",
            zoneid=zone["zone"],
            networkofferingid=zone["networkoffering"],
            gateway=f"10.{number + 1}.0.1",
            netmask="255.255.0.0",
        )["network"]["id"]
        for number in range(count)
    ]


def measure(arguments: argparse.Namespace, database: str) -> None:
    """Run the bench and print its figures."""
    with servers(2 if arguments.postgres else 1, database, arguments.profile) as (urls, pids, keys):
        setup = Setup(urls[0], keys["apikey"], keys["secretkey"])
        zone = simulated_zone(setup, hosts=arguments.hosts)  # type: ignore[arg-type]
        networks = networks_of(setup, zone, arguments.networks)
        before = [cpu_seconds(pid) for pid in pids]
        own, begun = time.process_time(), time.monotonic()
        took = asyncio.run(
            deploy_all(urls, keys, zone, networks, arguments.machines, min(arguments.clients, arguments.machines))
        )
        total = time.monotonic() - begun
        used = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
        own = time.process_time() - own
    label = f"deploy-{arguments.machines}{'-postgresql' if arguments.postgres else ''}"
    took.sort()
    report(label, total, "s", most=BARS.get(arguments.machines))
    report(f"{label}-p50", statistics.median(took), "s")
    report(f"{label}-p99", took[int(len(took) * 0.99) - 1], "s")
    report(f"{label}-rate", arguments.machines / total, "machines/s")
    for number, seconds in enumerate(used):
        report(f"{label}-cpu-server{number}", 1000 * seconds / arguments.machines, "ms/machine", most=20)
    report(f"{label}-cpu-clients", 1000 * own / arguments.machines, "ms/machine")


def run(arguments: argparse.Namespace, machines: int, *, postgres: bool) -> None:
    """Measure one number of machines on one kind of database."""
    arguments = argparse.Namespace(**vars(arguments) | {"machines": machines, "postgres": postgres})
    arguments.hosts = arguments.hosts or max(10, machines // 500)
    arguments.networks = arguments.networks or max(10, machines // 100)
    if not postgres:
        measure(arguments, "")
        return
    from tests.support.postgres import fresh_database, private_server

    with private_server() as server, fresh_database(server, "bench") as database:
        measure(arguments, database)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=0)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--networks", type=int, default=0, help="default: one for a hundred machines, at least ten")
    parser.add_argument("--hosts", type=int, default=0, help="default: as many as the machines need, at least ten")
    parser.add_argument("--postgres", action="store_true", help="a private PostgreSQL, and two servers")
    parser.add_argument("--profile", default="", help="write a profile of the server here (pstats)")
    arguments = parser.parse_args()
    if arguments.machines or arguments.postgres:
        run(arguments, arguments.machines or 1_000, postgres=arguments.postgres)
        finish()
    for machines in (1_000, 10_000):
        for postgres in (False, True):
            run(arguments, machines, postgres=postgres)
    finish()


if __name__ == "__main__":
    main()
