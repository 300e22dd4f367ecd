"""Logs: structured lines on stderr, JSON unless a person looks at them; secrets are never among the fields."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog

_encode = msgspec.json.Encoder(enc_hook=str).encode


class _Bridge(logging.Handler):
    """Hands records of the standard library's logging on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line of ours."""
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def configure(level: int = logging.INFO) -> None:
    """Set up logging of this process."""
    people = sys.stderr.isatty()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if people:
        # Not the default formatter: it prints the local variables of every frame, keys and passwords among them.
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
    else:
        processors += [structlog.processors.format_exc_info, _json]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(logging.WARNING)


def _json(_logger: Any, _method: str, event: dict[str, Any]) -> str:
    return _encode(event).decode()
