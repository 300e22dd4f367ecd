"""The objects that a batch of operations touches: loaded by one query, changed in memory, written back by two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.core.jobs.prepared import Prepared, id_list, in_list

_load = in_list("SELECT key, value FROM sim_object WHERE key IN_LIST(:keys)IN_END")
_scan = Prepared("SELECT key, value FROM sim_object WHERE host = :host AND sort = :sort ORDER BY key")
_store = Prepared(
    "INSERT INTO sim_object (key, sort, host, value) VALUES (:key, :sort, :host, :value)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_delete = Prepared("DELETE FROM sim_object WHERE key = :key")


def machine(host: int, name: str) -> str:
    """Return the key of a machine on a host."""
    return f"machine:{host}/{name}"


def volume(pool: str, uuid: str) -> str:
    """Return the key of a volume in a pool."""
    return f"volume:{pool}/{uuid}"


def router(host: int, name: str) -> str:
    """Return the key of a router on a host."""
    return f"router:{host}/{name}"


def segment(host: int, kind: str, tag: int) -> str:
    """Return the key of a network segment on a host."""
    return f"segment:{host}/{kind}/{tag}"


def fence(host: int, object_: str) -> str:
    """Return the key under which a host keeps the newest fence of an object."""
    return f"fence:{host}/{object_}"


class World:
    """Objects by key; values are what JSON can hold."""

    def __init__(self, db: Connection, keys: Iterable[str]) -> None:
        self._db = db
        self._values: dict[str, Any] = {}
        self._changed: dict[str, int] = {}  # key -> host
        wanted = sorted(set(keys))
        rows: Any = _load(db, keys=id_list(db, wanted)) if wanted else ()
        for row in rows:
            self._values[row[0]] = msgspec.json.decode(row[1])

    def get(self, key: str) -> Any:
        """Return an object that was asked for when the world was loaded; None when it is not there."""
        return self._values.get(key)

    def put(self, key: str, host: int, value: Any) -> None:
        """Set an object."""
        if self._values.get(key) != value:
            self._values[key] = value
            self._changed[key] = host

    def drop(self, key: str) -> None:
        """Remove an object."""
        if self._values.get(key) is not None:
            self._values[key] = None
            self._changed[key] = 0

    def scan(self, sort: str, host: int) -> dict[str, Any]:
        """Return all objects of a sort on a host."""
        rows: Any = _scan(self._db, host=host, sort=sort)
        found: dict[str, Any] = {row[0]: msgspec.json.decode(row[1]) for row in rows}
        for key, changed_host in self._changed.items():
            if key.startswith(sort + ":") and (changed_host == host or key in found):
                found[key] = self._values[key]
        return {key: value for key, value in found.items() if value is not None}

    def save(self) -> None:
        """Write what was changed."""
        kept = [(key, host) for key, host in self._changed.items() if self._values[key] is not None]
        _store.many(
            self._db,
            [
                {
                    "key": key,
                    "sort": key.partition(":")[0],
                    "host": host,
                    "value": msgspec.json.encode(self._values[key]).decode(),
                }
                for key, host in kept
            ],
        )
        _delete.many(self._db, [{"key": key} for key in self._changed if self._values[key] is None])
        self._changed.clear()
