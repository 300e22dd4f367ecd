"""What others want to know of jobs, in the transactions in which it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from pileus.core.jobs.sql import Record


@dataclass(frozen=True)
class Hooks:
    """Functions that the engine calls.

    ``completed(db, record, ok, text)`` in the transaction that ends a job (record.result is set by then);
    ``failed_undo(db, record, step, text)`` when an undo has failed for good: somebody has to look.
    """

    completed: Callable[[Connection, Record, bool, str], None] | None = None
    failed_undo: Callable[[Connection, Record, str, str], None] | None = None
