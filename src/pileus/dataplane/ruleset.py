"""An nft table as sets, maps and chains; rendered whole, or as the difference between two of them.

Both are one transaction.  The whole replaces the table; a difference of a few elements takes a tenth of the time
where there are a thousand, and is only possible while the chains stay the same.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence

FAMILY = "ip"


class Collection(typing.NamedTuple):
    """A named set or map; elements as nft writes them ("key" or "key : value")."""

    kind: str  # "set" | "map"
    name: str
    of: str  # type of the elements
    elements: Sequence[str]
    flags: str = ""


class Ruleset(typing.NamedTuple):
    """One table."""

    table: str
    collections: Sequence[Collection]
    chains: Sequence[str]  # lines

    @property
    def size(self) -> int:
        """Count the elements."""
        return sum(len(collection.elements) for collection in self.collections)


def block(kind: str, name: str, body: Iterable[str]) -> list[str]:
    """Render a block inside a table."""
    return [f"\t{kind} {name} {{", *(f"\t\t{line}" for line in body), "\t}"]


def whole(ruleset: Ruleset) -> str:
    """Render a file that replaces the table."""
    name = f"{FAMILY} {ruleset.table}"
    lines = [f"add table {name}", f"delete table {name}", f"table {name} {{"]
    for collection in ruleset.collections:
        lines += _collection(collection)
    return "\n".join([*lines, *ruleset.chains, "}", ""])


def difference(old: Ruleset, new: Ruleset, largest: float = 0.25) -> str | None:
    """Render a file that turns the old table into the new one; None when the whole must be loaded instead.

    That is so when chains differ, or more than the `largest` part of all elements: the whole is quicker then.
    """
    if (old.table, old.chains) != (new.table, new.chains):
        return None
    if [_shape(each) for each in old.collections] != [_shape(each) for each in new.collections]:
        return None
    deleted: list[str] = []
    added: list[str] = []
    changed = 0
    for before, after in zip(old.collections, new.collections, strict=True):
        known, wanted = set(before.elements), set(after.elements)
        gone = [element.split(" : ")[0] for element in before.elements if element not in wanted]
        fresh = [element for element in after.elements if element not in known]
        changed += len(gone) + len(fresh)
        where = f"element {FAMILY} {new.table} {after.name}"
        deleted += [f"delete {where} {{ {', '.join(gone)} }}\n"] if gone else []
        added += [f"add {where} {{ {', '.join(fresh)} }}\n"] if fresh else []
    if changed > largest * max(old.size, new.size):
        return None
    return "".join(deleted + added)


def _shape(collection: Collection) -> tuple[str, str, str, str]:
    return collection.kind, collection.name, collection.of, collection.flags


def _collection(collection: Collection) -> list[str]:
    body = [f"type {collection.of}"]
    if collection.flags:
        body.append(f"flags {collection.flags}")
    if collection.elements:
        *all_but_last, last = collection.elements
        body += ["elements = {", *(f"\t{element}," for element in all_but_last), f"\t{last}", "}"]
    return block(collection.kind, collection.name, body)
