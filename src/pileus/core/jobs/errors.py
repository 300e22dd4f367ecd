"""What a workflow can meet: failures it may catch, and the signals by which the engine leaves it."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.core.errors import ApiError
from pileus.wire.operations import Failure

UNKNOWN = frozenset({"timeout", "lost", "aborted"})
"""Codes of failures after which nobody knows whether the host did it: such calls are undone too."""


class OperationFailed(Exception):
    """A host failed at an operation."""

    def __init__(self, failure: Failure, host: int, kind: str) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.host = host
        self.kind = kind

    @property
    def retryable(self) -> bool:
        """Tell whether another host, or a later try, may succeed."""
        return self.failure.retryable


class Retry(Exception):
    """Raised in ``job.retry`` to ask for another attempt; ``facts`` go into the list of failures."""

    retryable = True

    def __init__(self, message: str, *, code: str = "retry", host: int | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.host = host
        self.facts = facts


class JobFailed(Exception):
    """A job has failed: of a child in its parent, and what ``on_failure`` gets."""

    def __init__(self, text: str, *, code: int = 530, failure: Failure | None = None, host: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.failure = failure
        self.host = host

    @property
    def retryable(self) -> bool:
        """Tell whether a later try may succeed."""
        return self.failure is not None and self.failure.retryable


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure as it is recorded: enough to raise the same again."""

    sort: str  # operation job retry other
    text: str  # for people
    code: int = 530
    cancelled: bool = False
    failure: Failure | None = None
    host: int | None = None
    kind: str = ""
    label: str = ""  # code of a Retry
    facts: dict[str, Any] = {}

    def exception(self) -> Exception:
        """Return the exception that this was."""
        if self.sort == "operation" and self.failure is not None:
            return OperationFailed(self.failure, self.host or 0, self.kind)
        if self.sort == "retry":
            return Retry(self.text, code=self.label, host=self.host, **self.facts)
        return JobFailed(self.text, code=self.code, failure=self.failure, host=self.host)

    def entry(self) -> dict[str, Any]:
        """Return the failure as an entry of the list that the next attempt gets."""
        if self.failure is not None:
            code, message, detail = self.failure.code, self.failure.message, self.failure.detail
        else:
            code, message, detail = self.label or str(self.code), self.text, ""
        return {"host": self.host, "code": code, "message": message, "detail": detail, "kind": self.kind, **self.facts}

    def result(self) -> dict[str, Any]:
        """Return the job's result for the API."""
        return {"errorcode": self.code, "errortext": self.text}


def outcome_of(error: Exception, uuid: str) -> Outcome:
    """Return what is recorded of an exception; the text of an unexpected one only points to the log."""
    if isinstance(error, OperationFailed):
        return Outcome(
            sort="operation", text=error.failure.message, failure=error.failure, host=error.host, kind=error.kind
        )
    if isinstance(error, JobFailed):
        return Outcome(sort="job", text=error.text, code=error.code, failure=error.failure, host=error.host)
    if isinstance(error, Retry):
        return Outcome(sort="retry", text=error.message, label=error.code, host=error.host, facts=error.facts)
    if isinstance(error, CancelledByUser):
        return Outcome(sort="other", text="The job was cancelled", cancelled=True)
    if isinstance(error, (DeadlinePassed, NotDeterministic)):
        return Outcome(sort="other", text=str(error))
    if isinstance(error, ApiError):
        return Outcome(sort="other", text=error.text, code=error.code)
    return Outcome(sort="other", text=f"Internal error; the server's log has the cause under job {uuid}")


class CancelledByUser(Exception):
    """Somebody has asked for the end of the job."""


class DeadlinePassed(Exception):
    """The job has taken longer than it may."""


class NotDeterministic(Exception):
    """A replay met other steps than the ones that are recorded."""


class Signal(BaseException):
    """Base of what leaves a workflow without being its failure (so that ``except Exception`` does not hold it)."""


class Parked(Signal):
    """The job waits, and holds nothing while it does."""


class Detached(Signal):
    """The job goes on in the pool for slow local work."""


class LeaseLost(Signal):
    """Another server has the job now: nothing of this run may be committed."""
