"""An agent's server, journal and runner in a process of their own, with operations that only tests have.

python -m tests.agent.channel.operations KEYS DATA PORT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from pileus.agent import server
from pileus.agent.context import AgentContext
from pileus.agent.journal import Journal
from pileus.agent.registry import OperationError, Progress, operation
from pileus.agent.runner import Runner


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
    runner = Runner(AgentContext(data=data, prefix="tch"), Journal(data / "journal.db"))
    runner.recover()
    server.serve(runner, "127.0.0.1", port, keys).run()


if __name__ == "__main__":
    main()
