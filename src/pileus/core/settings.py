"""Settings: declared where they are read, stored when they differ from the default, effective at once.

``SETTING = declare("vm.password.length", int, 12, ...)`` and ``services.settings.get(SETTING)``.  Names, types and
defaults are CloudStack's where it has them.  Values are cached for a second, so a change needs no restart.
"""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.tables import setting

T = TypeVar("T", str, int, float, bool)


class Setting(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One setting."""

    name: str
    type: type[T]
    default: T
    description: str
    scopes: tuple[str, ...] = ("global",)
    minimum: float | None = None
    maximum: float | None = None


_declared: dict[str, Setting[Any]] = {}


def declare(
    name: str,
    type_: type[T],
    default: T,
    description: str,
    *,
    scopes: tuple[str, ...] = ("global",),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Setting[T]:
    """Declare a setting; returns the handle to read it with."""
    made: Setting[T] = Setting(
        name=name, type=type_, default=default, description=description, scopes=scopes, minimum=minimum, maximum=maximum
    )
    _declared[name] = made
    return made


def declared() -> dict[str, Setting[Any]]:
    """Return every declared setting by name."""
    return _declared


def parse(handle: Setting[T], text: str) -> T:
    """Return a stored text as the setting's type (ValueError when it is none)."""
    if handle.type is bool:
        return handle.type(text.strip().lower() == "true")
    return handle.type(text)


class Settings:
    """Reads settings; a value is at most a second old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[tuple[str, str, int], str] = {}
        self._loaded = 0.0

    def get(self, handle: Setting[T], *scopes: tuple[str, int]) -> T:
        """Return the value; ``scopes``: (scope, internal id), the nearest first; then global, then the default."""
        if time.monotonic() - self._loaded > 1:
            self.reload()
        for scope in (*scopes, ("global", 0)):
            text = self._values.get((handle.name, *scope))
            if text is not None:
                return parse(handle, text)
        return handle.default

    def reload(self) -> None:
        """Read all values from the database now."""
        with self._database.read() as db:
            rows = db.execute(sa.select(setting)).all()
        self._values = {(row.name, row.scope, row.scope_id): row.value for row in rows}
        self._loaded = time.monotonic()
