"""Workflows of the job tests."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.errors import InsufficientCapacity
from pileus.core.jobs import (
    HostCall,
    Job,
    JobFailed,
    OperationFailed,
    Rendered,
    Retry,
    converger,
    desire,
    undo,
    workflow,
)
from pileus.wire.operations import Failure
from tests.jobs.world import trace


@undo("test.untrace")
def untrace(job: Job, output: Any) -> None:
    """Take a trace back."""
    job.commit("untrace", trace(f"undo {output}"))


@undo("test.uncall")
def uncall(job: Job, output: Any) -> None:
    """Take an operation back, on the host."""
    assert job.undoing is not None
    job.call("off", job.undoing.host or 1, "off", "thing", {"what": job.undoing.arguments.get("what", "?")})
    job.commit("note", trace(f"uncalled {sorted(output)}"))


def mark_failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Leave a trace of the failure."""
    trace(f"on_failure {error.code} {error.text}")(db)


@workflow("test.plain", on_failure=mark_failed)
def plain(job: Job, name: str, fail: str = "") -> dict[str, Any]:
    """Two commits, two calls, a result."""
    first = job.commit("first", trace(f"{name} first"), undo="test.untrace")
    answer = job.call("attach", 1, "attach", "thing", {"what": name}, undo="test.uncall")
    job.commit("second", trace(f"{name} second"), undo="test.untrace")
    job.call("on", 2, "on", "thing", {"what": name}, undo="test.uncall")
    if fail:
        raise InsufficientCapacity(fail)
    return {"first": first, "answer": answer}


@workflow("test.finishing", on_failure=mark_failed)
def finishing(job: Job, name: str) -> None:
    """A commit, a call, and the end in one transaction with its writes."""
    job.commit("first", trace(f"{name} first"), undo="test.untrace")
    job.call("on", 1, "on", "thing", {"what": name}, undo="test.uncall")

    def last(db: Connection) -> dict[str, Any]:
        trace(f"{name} last")(db)
        return {"name": name}

    job.finish("last", last)


@workflow("test.commits", on_failure=mark_failed)
def commits(job: Job, name: str, steps: int = 3, fail: bool = False) -> None:
    """Commits only."""
    for number in range(steps):
        job.commit(f"step{number}", trace(f"{name} {number}"), undo="test.untrace")
    if fail:
        raise ValueError("a fault in the workflow")


@workflow("test.one_call", on_failure=mark_failed)
def one_call(job: Job, kind: str, host: int = 1, timeout: float = 600, undone: bool = False) -> dict[str, Any]:
    """One operation."""
    job.commit("first", trace("first"), undo="test.untrace")
    return job.call("go", host, kind, f"thing:{job.id}", {}, timeout=timeout, undo="test.uncall" if undone else None)


@workflow("test.many_calls")
def many_calls(job: Job, hosts: list[int], kind: str = "on") -> list[str]:
    """Several operations at once."""
    answers = job.calls("all", [HostCall(host, kind, f"thing:{host}", {}) for host in hosts])
    return {"states": [answer.state for answer in answers], "hosts": [a.result.get("host") for a in answers]}


@workflow("test.placing", on_failure=mark_failed)
def placing(job: Job, hosts: list[int], times: int = 3, delay: float = 0) -> dict[str, Any]:
    """A place is chosen, used, and chosen anew when the host fails."""

    def attempt(number: int, failures: list[dict[str, Any]]) -> int:
        avoid = [failure["host"] for failure in failures]

        def choose(db: Connection) -> int:
            free = [host for host in hosts if host not in avoid]
            if not free:
                raise InsufficientCapacity("no host is left")
            trace(f"reserve {free[0]}")(db)
            return free[0]

        host = job.commit("reserve", choose, undo="test.untrace")
        job.call("start", host, "start", "thing", {"what": host}, undo="test.uncall")
        return host

    host = job.retry("place", attempt, times=times, delay=delay)
    job.commit("placed", trace(f"placed {host}"))
    return {"host": host}


@workflow("test.asking")
def asking(job: Job, times: int) -> dict[str, Any]:
    """Ask for attempts with facts of their own."""
    seen: list[Any] = []

    def attempt(number: int, failures: list[dict[str, Any]]) -> int:
        seen[:] = failures
        if number < times:
            raise Retry("not yet", code="early", host=number, pool=f"p{number}")
        return number

    number = job.retry("ask", attempt, times=times)
    return {"number": number, "seen": list(seen)}


@workflow("test.sleeping")
def sleeping(job: Job, seconds: float) -> None:
    """Sleep."""
    job.sleep("nap", seconds)
    job.commit("awake", trace("awake"))


@workflow("test.parent", on_failure=mark_failed)
def parent(job: Job, name: str, fail: bool = False, key: str | None = None) -> dict[str, Any]:
    """A commit, then a child."""
    job.commit("before", trace(f"{name} before"), undo="test.untrace")
    result = job.child("sub", plain, key=key, arguments={"name": f"{name} child", "fail": "no room" if fail else ""})
    job.commit("after", trace(f"{name} after"))
    return {"child": result}


@workflow("test.slow_parent", on_failure=mark_failed)
def slow_parent(job: Job) -> None:
    """A child that waits for ever."""
    job.commit("before", trace("parent before"), undo="test.untrace")
    job.child("sub", one_call, key=None, arguments={"kind": "silent"})


@workflow("test.downloading")
def downloading(job: Job, seconds: float, fail: bool = False) -> dict[str, Any]:
    """Slow local work with progress."""

    def work() -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job.progress(0.5, "half of it")
            time.sleep(0.02)
        if fail:
            raise InsufficientCapacity("the disk is full")
        return "bytes"

    return {"got": job.local("download", work)}


@workflow("test.nap_with_key")
def nap_with_key(job: Job, name: str) -> None:
    """Two traces around an operation: two of these on one key must not mix."""
    job.commit("in", trace(f"in {name}"))
    job.call("on", 1, "on", f"thing:{name}", {})
    job.finish("out", lambda db: {"out": trace(f"out {name}")(db)})


@workflow("test.converging", on_failure=mark_failed)
def converging(job: Job, object_id: int, timeout: float = 20) -> dict[str, Any]:
    """Ask for a state and wait until it is there."""
    generation = job.commit("rule", lambda db: desire(db, "test.router", object_id))
    job.converge("test.router", object_id, timeout=timeout)
    return {"generation": generation}


@workflow("test.converging_together", on_failure=mark_failed)
def converging_together(job: Job, objects: list[int]) -> None:
    """Ask for the states of objects and wait for all of them, twice: the second time nothing is left to wait for."""
    job.commit("rules", lambda db: [desire(db, "test.router", object_id) for object_id in objects])
    job.converge_all([("test.router", object_id) for object_id in objects])
    job.commit("between", trace("all are there"))
    job.converge_all([("test.router", object_id) for object_id in [*objects, 100]])


@workflow("test.clockwork")
def clockwork(job: Job) -> None:
    """Not deterministic: its second step is named by the clock."""
    job.commit("first", trace("first"))
    job.call(f"on-{now()}", 1, "on", "thing", {})


@workflow("test.twice")
def twice(job: Job) -> None:
    """Two steps with one name."""
    job.commit("same", trace("same"))
    job.commit("same", trace("same"))


@undo("test.stubborn")
def stubborn(job: Job, output: Any) -> None:
    """Fail retryably for as long as the host does."""
    job.call("off", 7, "off", "thing", {})
    job.commit("done", trace("stubborn undone"))


@undo("test.broken")
def broken(job: Job, output: Any) -> None:
    """Fail for good."""
    raise OperationFailed(Failure(code="bad", message="this cannot be undone"), 1, "off")


@workflow("test.hard_to_undo", on_failure=mark_failed)
def hard_to_undo(job: Job, undo: str) -> None:
    """Fail after steps of which one is hard to undo."""
    job.commit("easy", trace("easy"), undo="test.untrace")
    job.commit("hard", trace("hard"), undo=undo)
    raise InsufficientCapacity("no room")


@converger("test.router")
class Router:
    """Objects 1..99 are on host ``object_id % 3 + 1``; 100 and above are not running."""

    delay = 0.0

    def render(self, db: Connection, object_id: int) -> Rendered | None:
        """Return a state."""
        if object_id >= 100:
            return None
        return Rendered(
            host=object_id % 3 + 1, kind="router.apply", object=f"router:{object_id}", arguments={"id": object_id}
        )

    def applied(self, db: Connection, object_id: int, generation: int, result: dict[str, Any]) -> None:
        """Leave a trace."""
        trace(f"applied {object_id} {generation}")(db)

    def failed(self, db: Connection, object_id: int, generation: int, failure: Failure) -> None:
        """Leave a trace."""
        trace(f"not applied {object_id} {generation} {failure.code}")(db)
