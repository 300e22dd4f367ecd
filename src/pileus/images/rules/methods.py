"""What texts, lists and Math can do in rules."""

# The values of rules have no types of Python's, and each method says what it takes by its name in JavaScript.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, cast

from pileus.images.rules.runtime import RuleError, limited, number, same, text, truth


def _at(value: Any, default: int) -> int:
    return default if value is None or math.isnan(number(value)) else int(max(-1e9, min(1e9, number(value))))


def _sorted(items: list[Any], order: Any = None) -> list[Any]:
    if order is None:
        items.sort(key=text)
    else:
        items.sort(key=functools.cmp_to_key(lambda a, b: int(number(order(a, b)) > 0) - int(number(order(a, b)) < 0)))
    return items


def _found(items: list[Any], test: Any) -> Any:
    return next((each for at, each in enumerate(items) if truth(test(each, float(at)))), None)


def _reduced(items: list[Any], fold: Any, *start: Any) -> Any:
    if not items and not start:
        raise RuleError("reduce of an empty list needs a value to begin with")
    return functools.reduce(fold, items, *start)


def _pushed(items: list[Any], *more: Any) -> float:
    items.extend(more)
    return float(len(items))


_LIST: dict[str, Callable[..., Any]] = {
    "filter": lambda s, f: [each for at, each in enumerate(s) if truth(f(each, float(at)))],
    "find": _found,
    "map": lambda s, f: [f(each, float(at)) for at, each in enumerate(s)],
    "some": lambda s, f: any(truth(f(each, float(at))) for at, each in enumerate(s)),
    "every": lambda s, f: all(truth(f(each, float(at))) for at, each in enumerate(s)),
    "forEach": lambda s, f: [f(each, float(at)) for at, each in enumerate(s)] and None,
    "includes": lambda s, v: any(same(each, v) for each in s),
    "indexOf": lambda s, v: float(next((at for at, each in enumerate(s) if same(each, v)), -1)),
    "join": lambda s, by=",": limited(text(by).join(text(each) for each in s)),
    "slice": lambda s, a=None, b=None: s[_at(a, 0) : _at(b, len(s))],
    "sort": _sorted,
    "reduce": _reduced,
    "push": _pushed,
}
_TEXT: dict[str, Callable[..., Any]] = {
    "startsWith": lambda s, v: s.startswith(text(v)),
    "endsWith": lambda s, v: s.endswith(text(v)),
    "includes": lambda s, v: text(v) in s,
    "indexOf": lambda s, v: float(s.find(text(v))),
    "toLowerCase": lambda s: s.lower(),
    "toUpperCase": lambda s: s.upper(),
    "trim": lambda s: s.strip(),
    "split": lambda s, by: s.split(text(by)) if text(by) else list(s),
    "slice": lambda s, a=None, b=None: s[_at(a, 0) : _at(b, len(s))],
    "substring": lambda s, a=None, b=None: s[max(0, _at(a, 0)) : max(0, _at(b, len(s)))],
    "toString": lambda s: s,
    "equals": lambda s, v: s == v,
}


def member(value: Any, name: str) -> Any:
    """Return a property: of a mapping an entry, of texts and lists length and the methods; raises RuleError."""
    if isinstance(value, dict):
        return cast(dict[str, Any], value).get(name)
    if isinstance(value, (str, list)):
        if name == "length":
            return float(len(cast(str, value)))
        method = (_TEXT if isinstance(value, str) else _LIST).get(name)
        if method is not None:
            return functools.partial(method, value)
        raise RuleError(f"{name} is not understood of a {'text' if isinstance(value, str) else 'list'}")
    raise RuleError(f"there is no {name} of {text(value)}")


def element(value: Any, at: Any) -> Any:
    """Return the element of a list or text with a number, or the property with a name."""
    if isinstance(value, (str, list)) and isinstance(at, float):
        found = cast(list[Any], value)
        return found[int(at)] if at.is_integer() and 0 <= at < len(found) else None
    return member(value, text(at))


def _rounded(value: float, by: Callable[[float], int]) -> float:
    return float(by(value)) if math.isfinite(value) else value


GLOBALS: dict[str, Any] = {
    "undefined": None,
    "Math": {
        "min": lambda *v: min(map(number, v), default=math.inf),
        "max": lambda *v: max(map(number, v), default=-math.inf),
        "floor": lambda v: _rounded(number(v), math.floor),
        "ceil": lambda v: _rounded(number(v), math.ceil),
        "round": lambda v: _rounded(number(v) + 0.5, math.floor),
        "abs": lambda v: abs(number(v)),
    },
    "Number": number,
    "String": text,
}
"""What every rule may use."""
