"""Measurements of this process, as Prometheus reads them."""

from __future__ import annotations

from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

from pileus.core import commands

REQUESTS = Counter("pileus_api_requests", "API requests answered", ["command", "status"])
SECONDS = Histogram(
    "pileus_api_seconds",
    "Time from a request's arrival to its answer",
    ["command"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
CONTENT_TYPE = CONTENT_TYPE_LATEST


def observe(command: str, status: int, seconds: float) -> None:
    """Count an answered request (invented command names count as one)."""
    count, times = _of(command if commands.find(command) is not None else "unknown", status)
    count.inc()
    times.observe(seconds)


@cache
def _of(command: str, status: int) -> tuple[Counter, Histogram]:
    """Return the counter and the histogram of a command's answers: finding them costs more than counting."""
    return REQUESTS.labels(command, str(status)), SECONDS.labels(command)


def exposition() -> bytes:
    """Return all measurements in Prometheus' text format."""
    return generate_latest()
