"""An agent's server, journal, runner and certificate in a process of their own, with operations that only tests have.

python -m tests.agent.channel.operations KEYS DATA PORT [HOST]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from pileus.agent import probe, server
from pileus.agent.certificate import HostCertificate
from pileus.agent.context import AgentContext
from pileus.agent.journal import Journal
from pileus.agent.operations import host
from pileus.agent.registry import OperationError, Progress, operation
from pileus.agent.runner import Runner
from pileus.agent.settings import Settings

assert host  # importing it has registered its operations


class Work(msgspec.Struct, kw_only=True):
    seconds: float = 0.0
    text: str = ""


class Done(msgspec.Struct, kw_only=True):
    text: str


def effect(context: AgentContext, text: str) -> None:
    with (context.data / "effects").open("a") as file:
        file.write(text + "\n")


@operation("test.work")
def work(context: AgentContext, arguments: Work, progress: Progress) -> Done:
    effect(context, f"begin {arguments.text}")
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        progress(0.5)
        time.sleep(0.02)
    effect(context, f"end {arguments.text}")
    return Done(text=arguments.text)


@operation("test.once", resumable=False)
def once(context: AgentContext, arguments: Work, progress: Progress) -> Done:
    return work(context, arguments, progress)


@operation("test.fail")
def fail(context: AgentContext, arguments: Work, progress: Progress) -> None:
    raise OperationError("broken", "it is broken", retryable=True, detail=arguments.text)


@operation("test.crash")
def crash(context: AgentContext, arguments: Work, progress: Progress) -> None:
    raise ZeroDivisionError


def main() -> None:
    keys, data, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    certificate = HostCertificate(keys)
    certificate.recover()
    context = AgentContext(data=data, prefix="tch", host=(sys.argv[4:] or [""])[0], certificate=certificate)
    runner = Runner(context, Journal(data / "journal.db"))
    runner.recover()
    service = server.serve(runner, "127.0.0.1", port, keys)
    tls = service.config.ssl
    certificate.on_change(lambda: tls and tls.load_cert_chain(keys / "agent.crt", keys / "agent.key"))
    context.facts = lambda: probe.gather(Settings(host=context.host, name="real"), "tcg")
    service.run()


if __name__ == "__main__":
    main()
