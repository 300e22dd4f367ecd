"""What rules work with: scopes, operators, calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

EMPTY: Any = object()
"""What a statement gives that evaluates nothing."""
LONGEST_TEXT = 1 << 16


class RuleError(ValueError):
    """The text is no rule, or it failed; says why, for people."""


class Returned(Exception):
    """A function returns."""

    def __init__(self, value: Any) -> None:
        """Keep the value."""
        self.value = value


class Broken(Exception):
    """A loop ends."""


class Skipped(Exception):
    """A loop goes on with its next turn."""


class Scope:
    """Variables within one another, and the steps that are left (shared by all)."""

    __slots__ = ("left", "outer", "values")

    def __init__(self, values: dict[str, Any], outer: Scope | None, left: list[int]) -> None:
        """Begin a scope."""
        self.values, self.outer, self.left = values, outer, left

    def step(self) -> None:
        """Count a step; raises RuleError when there are none left."""
        self.left[0] -= 1
        if self.left[0] < 0:
            raise RuleError("the rule takes too many steps")

    def holder(self, name: str) -> dict[str, Any]:
        """Return the variables among which the name is."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values
            scope = scope.outer
        raise RuleError(f"{name} has no value there")


Node = Callable[[Scope], Any]


def truth(value: Any) -> bool:
    """Tell whether a condition holds, as JavaScript does."""
    if isinstance(value, float):
        return value != 0.0 and not math.isnan(value)
    return isinstance(value, (list, dict)) or callable(value) or bool(value)


def number(value: Any) -> float:
    """Return a value as a number, NaN when it is none."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value.strip() or 0)
        except ValueError:
            return math.nan
    return math.nan


def text(value: Any) -> str:
    """Return a value as a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, list):
        return ",".join(text(each) for each in cast(list[Any], value))
    return value if isinstance(value, str) else "undefined" if value is None else "[object]"


def limited(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise RuleError("the rule makes texts that are too long")
    return value


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, (str, list)) or isinstance(right, (str, list)):
        return limited(text(left) + text(right))
    return number(left) + number(right)


def _divided(left: Any, right: Any) -> float:
    over, under = number(left), number(right)
    if under == 0:
        return math.nan if over == 0 or math.isnan(over) else math.copysign(math.inf, over)
    return over / under


def _rest(left: Any, right: Any) -> float:
    over, under = number(left), number(right)
    return math.nan if under == 0 or math.isinf(over) else math.fmod(over, under)


def same(left: Any, right: Any) -> bool:
    """Tell what === tells."""
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return left is right
    return type(left) is type(right) and left == right


def _alike(left: Any, right: Any) -> bool:
    if left is None or right is None or type(left) is type(right) or isinstance(left, (list, dict)):
        return same(left, right)
    return number(left) == number(right)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return test(left, right)
        return test(number(left), number(right))

    return compare


BINARY: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "==": (3, _alike),
    "!=": (3, lambda a, b: not _alike(a, b)),
    "===": (3, same),
    "!==": (3, lambda a, b: not same(a, b)),
    "<": (4, _ordered(lambda a, b: a < b)),
    "<=": (4, _ordered(lambda a, b: a <= b)),
    ">": (4, _ordered(lambda a, b: a > b)),
    ">=": (4, _ordered(lambda a, b: a >= b)),
    "+": (5, _plus),
    "-": (5, lambda a, b: number(a) - number(b)),
    "*": (6, lambda a, b: number(a) * number(b)),
    "/": (6, _divided),
    "%": (6, _rest),
}
"""Operators: how closely they bind (&& is 2, || is 1), and what they do."""


def called(function: Any, given: list[Any]) -> Any:
    """Call what a rule calls; raises RuleError when that cannot be."""
    if not callable(function):
        raise RuleError(f"{text(function)} is no function")
    try:
        return function(*given)
    except (TypeError, OverflowError) as error:
        raise RuleError("a function is called with what it cannot take") from error
