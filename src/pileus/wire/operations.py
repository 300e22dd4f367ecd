"""Operations: what management asks of a host, and what the host answers.

An operation is idempotent by its id: a repeat joins the first run or returns its answer.  An operation whose fence
is older than the newest one that the agent has seen for the same object is refused.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

State = Literal["running", "done", "failed", "lost", "aborted", "refused"]


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an operation failed: a stable code, one sentence for people, and detail for the operator."""

    code: str
    message: str
    detail: str = ""
    retryable: bool = False  # another host (or a later try) may succeed


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to a host."""

    id: str  # "<job uuid>/<step>" or "<object>/<generation>": unique for ever
    kind: str  # "machine.start", "router.apply", ...
    object: str  # what it acts on, the unit of fencing: "machine:<uuid>"
    fence: int  # grows with every job on the object
    deadline: float  # seconds since the epoch; the agent gives up then
    arguments: dict[str, Any]
    request: str = ""  # id of the API request that began it, for the logs


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an operation."""

    id: str
    state: State
    result: dict[str, Any] = {}
    failure: Failure | None = None
    progress: float | None = None  # 0..1

    @property
    def final(self) -> bool:
        """Tell whether nothing more will come."""
        return self.state != "running"
