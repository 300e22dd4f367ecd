"""Durable jobs: workflows of named steps whose record is committed with the steps' own writes.

See docs/explanation/jobs.md for how they work and what they promise.
"""

from __future__ import annotations

from pileus.core.jobs import tables
from pileus.core.jobs.convergence import ask, desire, desired, forget
from pileus.core.jobs.engine import Engine
from pileus.core.jobs.errors import JobFailed, OperationFailed, Retry
from pileus.core.jobs.hooks import Hooks
from pileus.core.jobs.job import HostCall, Job, Undoing
from pileus.core.jobs.membership import owner_of
from pileus.core.jobs.registry import Converger, Rendered, converger, periodic, undo, workflow
from pileus.core.jobs.runtime import Channel
from pileus.core.jobs.sealing import secret_operations
from pileus.core.jobs.sql import Record
from pileus.core.jobs.submission import EventContext, Submission, cancel, submit

__all__ = [
    "Channel",
    "Converger",
    "Engine",
    "EventContext",
    "Hooks",
    "HostCall",
    "Job",
    "JobFailed",
    "OperationFailed",
    "Record",
    "Rendered",
    "Retry",
    "Submission",
    "Undoing",
    "ask",
    "cancel",
    "converger",
    "desire",
    "desired",
    "forget",
    "owner_of",
    "periodic",
    "secret_operations",
    "submit",
    "tables",
    "undo",
    "workflow",
]
