"""Tag rules: expressions over an offering's tags, by which a host or a primary storage says what it takes.

They are written as JavaScript writes them, of which this small part is understood: ``tags[0]``, ``tags.length``,
``tags.indexOf('a')``, ``tags.includes('a')``, texts, numbers, ``true``, ``false``, comparisons (``==  !=  ===  !==
<  <=  >  >=``), ``&&``, ``||``, ``!`` and parentheses.  Values of different kinds are never equal.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

Value = str | float | bool | None
Tags = Sequence[str]
Node = Callable[[Tags], Value]

LONGEST = 4096
_DEEPEST = 40

_PIECE = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'[^'\\]*'|\"[^\"\\]*\")|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>===|!==|==|!=|<=|>=|&&|\|\||[<>!()\[\].,-]))"
)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class RuleError(ValueError):
    """The text is no rule; says why, for people."""


@lru_cache(maxsize=1024)
def compiled(rule: str) -> Callable[[Tags], bool]:
    """Return the rule as a function of an offering's tags, in their order; RuleError when it is none.

    Offerings without tags never match.
    """
    if len(rule) > LONGEST:
        raise RuleError(f"a rule may be at most {LONGEST} characters long")
    node = _Parser(rule).whole()
    return lambda tags: bool(tags) and node(tags) is True


class _Parser:
    """Recursive descent, one method a level of precedence."""

    def __init__(self, text: str) -> None:
        self._pieces = _pieces(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._any()
        if self._at < len(self._pieces):
            raise RuleError(f"{self._pieces[self._at]!r} is not expected there")
        return node

    def _any(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RuleError("too many parentheses within one another")
        nodes = [self._all()]
        while self._take("||"):
            nodes.append(self._all())
        self._depth -= 1
        return nodes[0] if len(nodes) == 1 else lambda tags: any(node(tags) is True for node in nodes)

    def _all(self) -> Node:
        nodes = [self._comparison()]
        while self._take("&&"):
            nodes.append(self._comparison())
        return nodes[0] if len(nodes) == 1 else lambda tags: all(node(tags) is True for node in nodes)

    def _comparison(self) -> Node:
        left = self._not()
        sign = self._peek()
        if sign in ("==", "===", "!=", "!=="):
            self._at += 1
            right, wanted = self._not(), sign.startswith("=")
            return lambda tags: _same(left(tags), right(tags)) is wanted
        if sign in _ORDERS:
            self._at += 1
            other, order = self._not(), _ORDERS[sign]
            return lambda tags: _ordered(order, left(tags), other(tags))
        return left

    def _not(self) -> Node:
        turned = 0
        while self._take("!"):
            turned += 1
        node = self._value()
        if not turned:
            return node
        return lambda tags: (node(tags) is True) is (turned % 2 == 0)

    def _value(self) -> Node:
        piece = self._next()
        if piece == "(":
            node = self._any()
            self._need(")")
            return node
        if piece == "-":
            return _constant(-self._number())
        if piece == "tags":
            return self._tags()
        if piece in ("true", "false"):
            return _constant(piece == "true")
        if piece[0] in "'\"":
            return _constant(piece[1:-1])
        if piece[0].isdigit():
            return _constant(float(piece))
        raise RuleError(f"{piece!r} is not understood; rules are about tags, texts and numbers")

    def _tags(self) -> Node:
        if self._take("["):
            index = int(self._number())
            self._need("]")
            return lambda tags: tags[index] if index < len(tags) else None
        self._need(".")
        name = self._next()
        if name == "length":
            return lambda tags: float(len(tags))
        if name not in ("indexOf", "includes"):
            raise RuleError(f"tags.{name} is not understood; tags has length, indexOf and includes")
        self._need("(")
        wanted = self._value()
        self._need(")")
        if name == "includes":
            return lambda tags: wanted(tags) in tags
        return lambda tags: float(next((at for at, tag in enumerate(tags) if tag == wanted(tags)), -1))

    def _number(self) -> float:
        piece = self._next()
        if not piece[0].isdigit():
            raise RuleError(f"a number is expected, not {piece!r}")
        return float(piece)

    def _peek(self) -> str:
        return self._pieces[self._at] if self._at < len(self._pieces) else ""

    def _take(self, piece: str) -> bool:
        if self._peek() != piece:
            return False
        self._at += 1
        return True

    def _next(self) -> str:
        piece = self._peek()
        if not piece:
            raise RuleError("the rule ends too early")
        self._at += 1
        return piece

    def _need(self, piece: str) -> None:
        found = self._next()
        if found != piece:
            raise RuleError(f"{piece!r} is expected, not {found!r}")


def _pieces(text: str) -> list[str]:
    found: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _PIECE.match(text, at)
        if match is None:
            raise RuleError(f"{text[at:].strip()[:20]!r} is not understood")
        found.append(match[match.lastgroup or "sign"])
        at = match.end()
    return found


def _constant(value: Value) -> Node:
    return lambda _tags: value


def _same(left: Value, right: Value) -> bool:
    return type(left) is type(right) and left == right


def _ordered(order: Callable[[float, float], bool], left: Value, right: Value) -> bool:
    return type(left) is float and type(right) is float and order(left, right)
