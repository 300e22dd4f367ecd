"""Steps as they happen: a live display on a terminal, plain lines elsewhere, and the time that each took."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Step(msgspec.Struct, frozen=True):
    """A step that is done, and how long it took in seconds."""

    title: str
    seconds: float


class Steps:
    """Runs named steps one after another and shows them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._began = time.monotonic()
        self.done: list[Step] = []

    @property
    def seconds(self) -> float:
        """Return the time since the first step began."""
        return time.monotonic() - self._began

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show the steps that run inside."""
        self._began = time.monotonic()
        if not self._stream.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(finished_text="[green]✔"), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(file=self._stream)) as self._live:
            yield
        self._live = None

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Show one step while the block runs."""
        began = time.monotonic()
        if self._live is not None:
            self._task = self._live.add_task(title, total=1)
        try:
            yield
        except BaseException:
            self._line(f"FAILED  {title}")
            raise
        seconds = time.monotonic() - began
        self.done.append(Step(title, round(seconds, 2)))
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=1)
        self._line(f"{seconds:5.1f} s  {title}")

    def _line(self, text: str) -> None:
        if self._live is None:
            self._stream.write(text + "\n")
            self._stream.flush()
