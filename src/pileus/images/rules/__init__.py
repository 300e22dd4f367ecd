"""Rules that choose an image store: a small part of JavaScript, interpreted within bounds.

Understood are functions (also arrows), ``var  let  const``, ``if``, ``for``, ``while``, ``return``, the usual
operators, lists and texts with their common methods, and ``Math``.  As in CloudStack the rule's value is that of the
last expression that was evaluated.  Nothing of the server can be reached: a rule sees the values it is given, and
nothing else.  ``null`` and ``undefined`` are one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pileus.images.rules.methods import GLOBALS
from pileus.images.rules.parser import Parser
from pileus.images.rules.runtime import EMPTY, Broken, Node, Returned, RuleError, Scope, Skipped

LONGEST = 65535
"""Characters of a rule."""
STEPS = 100_000
"""Calls, turns of loops and operations until a rule is given up."""

__all__ = ["LONGEST", "Rule", "RuleError", "compiled"]


class Rule:
    """A rule that was understood."""

    def __init__(self, body: Node) -> None:
        """Keep what is to be run."""
        self._body = body

    def value(self, given: Mapping[str, Any]) -> Any:
        """Return what the rule says of the given values (texts, numbers, lists, mappings); raises RuleError."""
        scope = Scope({**GLOBALS, **given}, None, [STEPS])
        try:
            found = self._body(Scope({}, scope, scope.left))
        except RecursionError:
            raise RuleError("the rule calls itself too deeply") from None
        except (Returned, Broken, Skipped):
            raise RuleError("return, break and continue are for functions and loops") from None
        return None if found is EMPTY else found


@lru_cache(maxsize=256)
def compiled(text: str, given: frozenset[str]) -> Rule:
    """Return the rule; raises RuleError when it is none, or names what is not given."""
    if len(text) > LONGEST:
        raise RuleError(f"a rule may have at most {LONGEST} characters")
    parser = Parser(text)
    try:
        body = parser.whole()
    except RecursionError:
        raise RuleError("the rule is nested too deeply") from None
    unknown = sorted(parser.used - parser.declared - given - GLOBALS.keys())
    if unknown:
        raise RuleError(f"{unknown[0]!r} is not known there; a rule is given {', '.join(sorted(given))}")
    return Rule(body)
