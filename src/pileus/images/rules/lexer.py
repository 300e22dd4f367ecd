"""Pieces of a rule's text."""

from __future__ import annotations

import re

import msgspec

from pileus.images.rules.runtime import RuleError

_PIECE = re.compile(
    r"(?P<space>\s+|//[^\n]*|/\*.*?\*/)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)"
    r"|(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")|(?P<word>[A-Za-z_$][\w$]*)"
    r"|(?P<sign>===|!==|=>|==|!=|<=|>=|&&|\|\||\+\+|--|\+=|-=|[-+*/%<>!=?:;,.()\[\]{}])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Piece(msgspec.Struct, frozen=True):
    """A piece: its kind (number, text, word, sign, end), what it says, and whether a new line began before it."""

    kind: str
    text: str
    after_line: bool
    line: int


def pieces(text: str) -> list[Piece]:
    """Return the pieces, with one of the kind end; raises RuleError."""
    found: list[Piece] = []
    at, line, fresh = 0, 1, True
    while at < len(text):
        match = _PIECE.match(text, at)
        if match is None:
            raise RuleError(f"line {line}: {text[at : at + 20]!r} is not understood")
        at, piece, kind = match.end(), match[0], str(match.lastgroup)
        if kind == "space":
            fresh = fresh or "\n" in piece
            line += piece.count("\n")
            continue
        if kind == "text":
            piece = _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), piece[1:-1])
        found.append(Piece(kind, piece, fresh, line))
        fresh = False
    found.append(Piece("end", "the end", True, line))
    return found
