"""Which templates leave an image store, and for which other stores: pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from pileus.images.rooms import Room

COMPLETE, BALANCE = "COMPLETE", "BALANCE"


class Item(msgspec.Struct, frozen=True):
    """A template's copy in the store: internal id, bytes, and the stores that could take it."""

    copy: int
    size: int
    may: frozenset[int]


class Move(msgspec.Struct, frozen=True):
    """A copy and the store that it goes to."""

    copy: int
    size: int
    to: int


def planned(
    policy: str, source: int, items: Sequence[Item], rooms: Mapping[int, Room], threshold: float
) -> tuple[list[Move], int]:
    """Return the moves in order, and how many copies find no store with room for them.

    Each goes to the store that is then the least full.  COMPLETE moves all; BALANCE, largest first, only what makes
    the stores' shares more alike, until their standard deviation is at most the threshold.
    """
    held = {store: room.held for store, room in rooms.items()}
    moves: list[Move] = []
    stuck = 0

    def shares(taken: Mapping[int, int]) -> float:
        return statistics.pstdev(taken[store] / rooms[store].total if rooms[store].total else 1.0 for store in taken)

    for item in sorted(items, key=lambda item: (-item.size, item.copy)):
        if policy == BALANCE and shares(held) <= threshold:
            break
        fitting = [to for to in item.may if held[to] + item.size <= rooms[to].total]
        if not fitting:
            stuck += 1
            continue
        to = min(fitting, key=lambda store: (held[store] / rooms[store].total, store))
        after = held | {source: held[source] - item.size, to: held[to] + item.size}
        if policy == BALANCE and shares(after) >= shares(held):
            continue
        held = after
        moves.append(Move(item.copy, item.size, to))
    return moves, stuck if policy == COMPLETE else 0
