"""The record of a job's steps, and the check that a replay meets the same ones in the same order."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.core.jobs.errors import UNKNOWN, NotDeterministic, Outcome
from pileus.core.jobs.sql import Step

UNDO = "undo/"
_outcomes = msgspec.json.Decoder(Outcome)
_plain = (type(None), bool, int, float, str)


def encode(value: Any) -> str:
    """Return a step's output as JSON text."""
    return msgspec.json.encode(value).decode()


def decode(text: str | None) -> Any:
    """Return what JSON text says."""
    return None if text is None else msgspec.json.decode(text)


def as_replayed(value: Any, text: str) -> Any:
    """Return an output as a replay would see it, so that the first run takes no other way."""
    return value if isinstance(value, _plain) else msgspec.json.decode(text)


def outcome(text: str) -> Outcome:
    """Return a recorded failure."""
    return _outcomes.decode(text)


class Ledger:
    """The steps of one job; forward steps in the order in which they were met."""

    def __init__(self, workflow: str, steps: list[Step]) -> None:
        self.workflow = workflow
        self.reload(steps)

    def reload(self, steps: list[Step]) -> None:
        """Begin anew with these recorded steps."""
        self.steps = {step.name: step for step in steps}
        self._order = [step.name for step in steps if not step.name.startswith(UNDO)]
        self._cursor = 0
        self._met: set[str] = set()
        self._position = max((step.position for step in steps), default=-1) + 1

    def met(self, name: str) -> bool:
        """Tell whether this run has been at a step of this name."""
        return name in self._met

    def meet(self, name: str) -> Step | None:
        """Return the recorded step at which the workflow is now, or None when it is new."""
        if name in self._met:
            raise NotDeterministic(f"workflow {self.workflow} has two steps with the name {name}")
        if len(name) > 255:
            raise NotDeterministic(f"workflow {self.workflow}: the name of step {name[:40]}... is too long")
        self._met.add(name)
        if name.startswith(UNDO):
            return self.steps.get(name)
        if self._cursor < len(self._order):
            expected = self._order[self._cursor]
            if expected != name:
                raise NotDeterministic(
                    f"workflow {self.workflow} is not deterministic: it came to step {name}"
                    f" where {expected} is recorded"
                )
            self._cursor += 1
            return self.steps[name]
        return None

    def skip(self, prefix: str, marker: str) -> None:
        """Pass over the steps of a failed attempt and its marker."""
        self._met.add(marker)
        while self._cursor < len(self._order) and (
            self._order[self._cursor].startswith(prefix) or self._order[self._cursor] == marker
        ):
            self._cursor += 1

    def forget(self, prefix: str) -> None:
        """Let steps below a prefix be met again (an undo is repeated in the same run)."""
        self._met = {name for name in self._met if not name.startswith(prefix)}

    def next_position(self) -> int:
        """Return the position for a new step."""
        position = self._position
        self._position += 1
        return position

    def add(self, step: Step) -> None:
        """Take a step that has just been committed."""
        self.steps[step.name] = step
        if not step.name.startswith(UNDO):
            self._order.append(step.name)
            self._cursor = len(self._order)

    def to_undo(self, prefix: str = "") -> list[Step]:
        """Return what has to be undone below a prefix, last step first."""
        found = [
            step
            for step in self.steps.values()
            if step.undo is not None
            and not step.undone
            and step.name.startswith(prefix)
            and not step.name.startswith(UNDO)
            and (step.error is None or _unknown(step.error))
        ]
        return sorted(found, key=lambda step: step.position, reverse=True)


def _unknown(error: str) -> bool:
    recorded = outcome(error)  # (a failed child has undone itself, whatever the cause)
    return recorded.sort == "operation" and recorded.failure is not None and recorded.failure.code in UNKNOWN
