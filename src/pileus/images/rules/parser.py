"""From a rule's text to what runs it: recursive descent, each construct turned into a closure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

from pileus.images.rules import lexer
from pileus.images.rules.methods import element, member
from pileus.images.rules.runtime import (
    BINARY,
    EMPTY,
    Broken,
    Node,
    Returned,
    RuleError,
    Scope,
    Skipped,
    called,
    number,
    text,
    truth,
)

_DEEPEST = 60
_DECLARING = ("var", "let", "const")
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_UNDERSTOOD = ("function", "if", "else", "for", "while", "return", "break", "continue", "of", "typeof", *_DECLARING)
_OTHERS = (
    *("new", "this", "class", "import", "delete", "in", "do", "switch", "try", "throw", "with"),
    *("async", "await", "yield"),
)
_RESERVED = frozenset((*_UNDERSTOOD, *_CONSTANTS, *_OTHERS))


class Parser:
    """Reads a rule once; ``used`` and ``declared`` are the names in it."""

    def __init__(self, rule: str) -> None:
        """Take the text apart; raises RuleError."""
        self._pieces = lexer.pieces(rule)
        self._at = 0
        self._depth = 0
        self.used: set[str] = set()
        self.declared: set[str] = set()

    def whole(self) -> Node:
        """Return what runs the rule."""
        if self._piece.kind == "end":
            raise RuleError("the rule is empty")
        return self._statements("end")

    # Pieces

    @property
    def _piece(self) -> lexer.Piece:
        return self._pieces[self._at]

    def _is(self, *wanted: str) -> bool:
        return self._piece.kind in ("sign", "word") and self._piece.text in wanted

    def _take(self, *wanted: str) -> bool:
        if not self._is(*wanted):
            return False
        self._at += 1
        return True

    def _need(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._wrong(f"{wanted!r} is expected")

    def _wrong(self, why: str) -> RuleError:
        return RuleError(f"line {self._piece.line}: {why} at {self._piece.text[:30]!r}")

    def _name(self) -> str:
        piece = self._piece
        if piece.kind != "word" or piece.text in _RESERVED:
            raise self._wrong("a name is expected")
        self._at += 1
        return piece.text

    def _declare(self) -> str:
        name = self._name()
        self.declared.add(name)
        return name

    # Statements

    def _statements(self, end: str) -> Node:
        found: list[tuple[bool, Node]] = []
        while not (self._piece.kind == "end" if end == "end" else self._is(end)):
            if self._piece.kind == "end":
                raise self._wrong(f"{end!r} is expected")
            found.append((self._is("function"), self._statement()))
        nodes = [node for first, node in found if first] + [node for first, node in found if not first]

        def run(scope: Scope) -> Any:
            last = EMPTY
            for node in nodes:
                value = node(scope)
                last = last if value is EMPTY else value
            return last

        return run

    def _statement(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("the rule is nested too deeply")
        try:
            return self._one_statement()
        finally:
            self._depth -= 1

    def _one_statement(self) -> Node:
        if self._take(";"):
            return _nothing
        if self._take("{"):
            return self._block()
        if self._take("function"):
            name = self._declare()
            return _setting(name, self._function())
        if self._take("if"):
            return self._if()
        if self._take("for"):
            return self._for()
        if self._take("while"):
            self._need("(")
            test = self._expression()
            self._need(")")
            return _loop(None, test, None, self._statement())
        for word, ending in (("break", Broken), ("continue", Skipped)):
            if self._take(word):
                self._end()
                return _raising(ending)
        if self._take("return"):
            bare = self._is(";", "}") or self._piece.after_line
            node = _constant(None) if bare else self._expression()
            self._end()
            return _returning(node)
        node = self._variables() if self._take(*_DECLARING) else self._expression()
        self._end()
        return node

    def _end(self) -> None:
        if not self._take(";") and not (self._is("}") or self._piece.after_line):
            raise self._wrong("the statement does not end")

    def _block(self) -> Node:
        body = self._statements("}")
        self._need("}")
        return lambda scope: body(Scope({}, scope, scope.left))

    def _variables(self) -> Node:
        nodes: list[Node] = []
        while True:
            name = self._declare()
            nodes.append(_setting(name, self._assignment() if self._take("=") else _constant(None)))
            if not self._take(","):
                break

        def run(scope: Scope) -> Any:
            for node in nodes:
                node(scope)
            return EMPTY

        return run

    def _if(self) -> Node:
        self._need("(")
        test = self._expression()
        self._need(")")
        then = self._statement()
        other = self._statement() if self._take("else") else _nothing
        return lambda scope: then(scope) if truth(test(scope)) else other(scope)

    def _for(self) -> Node:
        self._need("(")
        declares = self._take(*_DECLARING)
        if self._pieces[self._at + 1].text == "of" and self._piece.kind == "word":
            name = self._declare() if declares else self._used()
            self._need("of")
            items = self._expression()
            self._need(")")
            return _each(name, items, self._statement())
        first = None if self._is(";") else self._variables() if declares else self._expression()
        self._need(";")
        test = None if self._is(";") else self._expression()
        self._need(";")
        after = None if self._is(")") else self._expression()
        self._need(")")
        return _loop(first, test, after, self._statement())

    # Expressions

    def _expression(self) -> Node:
        return self._assignment()

    def _assignment(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong("the rule is nested too deeply")
        try:
            if self._arrow_begins():
                return self._arrow()
            return self._assigned()
        finally:
            self._depth -= 1

    def _assigned(self) -> Node:
        plain = self._piece.text if self._piece.kind == "word" and self._piece.text not in _RESERVED else None
        begin = self._at
        node = self._choice()
        if self._is("=", "+=", "-="):
            if plain is None or self._at != begin + 1:
                raise self._wrong("only variables can be set")
            sign = self._piece.text
            self._at += 1
            value = self._assignment()
            if sign != "=":
                value = _binary(BINARY[sign[0]][1], node, value)
            return _assigning(plain, value)
        return node

    def _choice(self) -> Node:
        test = self._operators(1)
        if not self._take("?"):
            return test
        then = self._assignment()
        self._need(":")
        other = self._assignment()
        return lambda scope: then(scope) if truth(test(scope)) else other(scope)

    def _operators(self, level: int) -> Node:
        left = self._unary()
        while self._piece.kind == "sign":
            sign = self._piece.text
            binds, act = BINARY.get(sign, ({"||": 1, "&&": 2}.get(sign, 0), None))
            if binds < level:
                break
            self._at += 1
            right = self._operators(binds + 1)
            left = _binary(act, left, right) if act is not None else _shortened(sign == "||", left, right)
        return left

    def _unary(self) -> Node:
        signs: list[str] = []
        while self._is("!", "-", "+", "typeof") and len(signs) < _DEEPEST:
            signs.append(self._piece.text)
            self._at += 1
        if self._is("++", "--"):
            step = self._piece.text
            self._at += 1
            node = _stepping(self._used(), step)
        else:
            node = self._postfix()
        for sign in reversed(signs):
            node = _unary(sign, node)
        return node

    def _postfix(self) -> Node:
        plain = self._piece.text if self._piece.kind == "word" else ""
        node = self._primary()
        while True:
            if self._take("."):
                node, plain = _member(node, self._property()), ""
            elif self._take("["):
                node, plain = _element(node, self._expression()), ""
                self._need("]")
            elif self._take("("):
                node, plain = _call(node, self._listed(")")), ""
            elif plain and plain not in _RESERVED and self._is("++", "--") and not self._piece.after_line:
                node, plain = _stepping(plain, self._piece.text, after=True), ""
                self._at += 1
            else:
                return node

    def _property(self) -> str:
        if self._piece.kind != "word":
            raise self._wrong("a name is expected")
        self._at += 1
        return self._pieces[self._at - 1].text

    def _listed(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self._take(end):
            found.append(self._assignment())
            if not self._is(end):
                self._need(",")
        return found

    def _primary(self) -> Node:
        piece = self._piece
        if piece.kind == "number":
            self._at += 1
            return _constant(float(piece.text))
        if piece.kind == "text":
            self._at += 1
            return _constant(piece.text)
        if self._take("("):
            node = self._expression()
            self._need(")")
            return node
        if self._take("["):
            nodes = self._listed("]")
            return lambda scope: [node(scope) for node in nodes]
        if self._take("function"):
            if self._piece.kind == "word":
                self._declare()
            return self._function()
        if piece.kind == "word" and piece.text in _CONSTANTS:
            self._at += 1
            return _constant(_CONSTANTS[piece.text])
        if piece.kind != "word" or piece.text in _RESERVED:
            raise self._wrong("a value is expected")
        return _variable(self._used())

    def _used(self) -> str:
        name = self._name()
        self.used.add(name)
        return name

    # Functions

    def _function(self) -> Node:
        self._need("(")
        names = self._parameters()
        self._need("{")
        body = self._statements("}")
        self._need("}")
        return _function(names, body, gives_last=False)

    def _parameters(self) -> list[str]:
        names: list[str] = []
        while not self._take(")"):
            names.append(self._declare())
            if not self._is(")"):
                self._need(",")
        return names

    def _arrow_begins(self) -> bool:
        if self._piece.kind == "word":
            return self._pieces[min(self._at + 1, len(self._pieces) - 1)].text == "=>"
        if not self._is("("):
            return False
        at = self._at + 1
        while self._pieces[at].kind == "word" or (self._pieces[at].kind == "sign" and self._pieces[at].text == ","):
            at += 1
        return self._pieces[at].text == ")" and self._pieces[at + 1].text == "=>"

    def _arrow(self) -> Node:
        names = self._parameters() if self._take("(") else [self._declare()]
        self._need("=>")
        if self._take("{"):
            body = self._statements("}")
            self._need("}")
            return _function(names, body, gives_last=False)
        return _function(names, self._assignment(), gives_last=True)


def _nothing(_scope: Scope) -> Any:
    return EMPTY


def _constant(value: Any) -> Node:
    return lambda _scope: value


def _variable(name: str) -> Node:
    return lambda scope: scope.holder(name)[name]


def _charged(scope: Scope, value: Any) -> Any:
    """Count what a value takes of memory as steps."""
    scope.step()
    if isinstance(value, list):
        scope.left[0] -= len(cast(list[Any], value))
    elif isinstance(value, str):
        scope.left[0] -= len(value) >> 6
    return cast(Any, value)


def _setting(name: str, node: Node) -> Node:
    def run(scope: Scope) -> Any:
        scope.values[name] = node(scope)
        return EMPTY

    return run


def _assigning(name: str, node: Node) -> Node:
    def run(scope: Scope) -> Any:
        value = node(scope)
        holder = scope.holder(name)
        holder[name] = value
        return value

    return run


def _stepping(name: str, sign: str, *, after: bool = False) -> Node:
    def run(scope: Scope) -> Any:
        holder = scope.holder(name)
        before = number(holder[name])
        holder[name] = before + (1 if sign == "++" else -1)
        return before if after else holder[name]

    return run


def _raising(ending: type[Exception]) -> Node:
    def run(_scope: Scope) -> Any:
        raise ending

    return run


def _returning(node: Node) -> Node:
    def run(scope: Scope) -> Any:
        raise Returned(node(scope))

    return run


def _binary(act: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    return lambda scope: _charged(scope, act(left(scope), right(scope)))


def _shortened(either: bool, left: Node, right: Node) -> Node:
    def run(scope: Scope) -> Any:
        value = left(scope)
        return value if truth(value) is either else right(scope)

    return run


def _unary(sign: str, node: Node) -> Node:
    if sign == "!":
        return lambda scope: not truth(node(scope))
    if sign == "typeof":
        return lambda scope: _type(node(scope))
    return lambda scope: -number(node(scope)) if sign == "-" else number(node(scope))


def _type(value: Any) -> str:
    kinds = {bool: "boolean", float: "number", str: "string", list: "object", dict: "object", type(None): "undefined"}
    return kinds.get(cast(type[Any], type(value)), "function")


def _member(node: Node, name: str) -> Node:
    return lambda scope: member(node(scope), name)


def _element(node: Node, at: Node) -> Node:
    return lambda scope: element(node(scope), at(scope))


def _call(node: Node, given: list[Node]) -> Node:
    return lambda scope: _charged(scope, called(node(scope), [each(scope) for each in given]))


def _function(names: list[str], body: Node, *, gives_last: bool) -> Node:
    def made(scope: Scope) -> Any:
        def function(*given: Any) -> Any:
            scope.step()
            padded = itertools.chain(given, itertools.repeat(None))
            try:
                value = body(Scope(dict(zip(names, padded, strict=False)), scope, scope.left))
            except Returned as returned:
                return returned.value
            return value if gives_last else None

        return function

    return made


def _loop(first: Node | None, test: Node | None, after: Node | None, body: Node) -> Node:
    def run(scope: Scope) -> Any:
        inner, last = Scope({}, scope, scope.left), EMPTY
        if first is not None:
            first(inner)
        while test is None or truth(test(inner)):
            scope.step()
            try:
                value = body(inner)
                last = last if value is EMPTY else value
            except Broken:
                break
            except Skipped:
                pass
            if after is not None:
                after(inner)
        return last

    return run


def _each(name: str, items: Node, body: Node) -> Node:
    def run(scope: Scope) -> Any:
        found, last = items(scope), EMPTY
        if not isinstance(found, (list, str)):
            raise RuleError(f"for goes over lists, not over {text(found)}")
        for value in list(cast(list[Any], found)):
            scope.step()
            try:
                given = body(Scope({name: value}, scope, scope.left))
                last = last if given is EMPTY else given
            except Broken:
                break
            except Skipped:
                continue
        return last

    return run
