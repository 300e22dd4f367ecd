"""Settings: declared where they are read, stored when they differ from the default, effective at once.

``SETTING = declare("vm.password.length", int, 12, ...)`` and ``services.settings.get(SETTING)``.  Names, types and
defaults are CloudStack's where it has them.  Values are cached for a second, so a change needs no restart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.secrets import Secrets
from pileus.core.tables import setting

T = TypeVar("T", str, int, float, bool)

_LARGEST = 2**63
"""Numbers from here on fit no column, and soon no calculation."""


class Setting(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One setting."""

    name: str
    type: type[T]
    default: T
    description: str
    scopes: tuple[str, ...] = ("global",)
    minimum: float | None = None
    maximum: float | None = None
    options: tuple[str, ...] = ()  # the values that are allowed, of a text
    secure: bool = False  # kept encrypted and never shown; read with ``Settings.secret``
    check: Callable[[str], object] | None = None  # of a text: raises ValueError, saying what would be right
    root_only: bool = False  # changed by root admins only, in every scope


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
    options: tuple[str, ...] = (),
    secure: bool = False,
    check: Callable[[str], object] | None = None,
    root_only: bool = False,
) -> Setting[T]:
    """Declare a setting; returns the handle to read it with.

    ``scopes``: global and those in which it is looked up: zone cluster pool domain account imagestore.
    """
    if name in _declared:
        raise ValueError(f"setting {name} is declared already: what several parts read is declared in one place")
    made: Setting[T] = Setting(
        name=name,
        type=type_,
        default=default,
        description=description,
        scopes=scopes,
        minimum=minimum,
        maximum=maximum,
        options=options,
        secure=secure,
        check=check,
        root_only=root_only,
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


def text_of(value: str | int | float | bool) -> str:
    """Return a value as it is stored and shown."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def checked(handle: Setting[Any], text: str) -> str:
    """Return a text that may be stored as the setting's value (ValueError, saying what would be right)."""
    text = text.strip()
    if handle.type is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("must be true or false")
        return text.lower()
    if handle.type is str:
        if handle.options and text not in handle.options:
            raise ValueError(f"must be one of {', '.join(handle.options)}")
        if handle.check is not None:
            handle.check(text)
        return text
    try:
        value = handle.type(text)
    except ValueError:
        raise ValueError("must be a whole number" if handle.type is int else "must be a number") from None
    least, most = handle.minimum, handle.maximum
    if not abs(value) < _LARGEST:
        raise ValueError("must be a finite number below 2^63")
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = [f"at least {least:g}"] if least is not None else []
        bounds += [f"at most {most:g}"] if most is not None else []
        raise ValueError(f"must be {' and '.join(bounds)}")
    return str(value)


class Settings:
    """Reads settings; a value is at most a second old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[tuple[str, str, int], str] = {}
        self._loaded = -math.inf

    def get(self, handle: Setting[T], *scopes: tuple[str, int]) -> T:
        """Return the value; ``scopes``: (scope, internal id), the nearest first; then global, then the default."""
        if time.monotonic() - self._loaded > 1:
            self.reload()
        for scope in (*scopes, ("global", 0)):
            text = self._values.get((handle.name, *scope))
            if text is not None:
                return parse(handle, text)
        return handle.default

    def secret(self, handle: Setting[str], secrets: Secrets, *scopes: tuple[str, int]) -> str:
        """Return the clear value of a secure setting."""
        text = self.get(handle, *scopes)
        return secrets.decrypt(text) if text else ""

    def expire(self) -> None:
        """Read all values anew at the next question."""
        self._loaded = -math.inf

    def reload(self) -> None:
        """Read all values from the database now."""
        with self._database.read() as db:
            rows = db.execute(sa.select(setting)).all()
        self._values = {(row.name, row.scope, row.scope_id): row.value for row in rows}
        self._loaded = time.monotonic()
