"""Authentication as the API edge sees it: who a key or a session stands for is the identity slice's to say."""

from __future__ import annotations

from typing import Protocol

import msgspec

from pileus.core.calls import Caller
from pileus.core.commands import Command
from pileus.core.services import Services


class Key(msgspec.Struct, frozen=True):
    """An API key's user, and the secret that signs for it."""

    caller: Caller
    secret: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request that comes without credentials."""

    address: str
    request: str
    cookies: dict[str, str]


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a command of the sign-in family, and the cookies that it sets ("" = removes)."""

    content: dict[str, object]
    cookies: dict[str, str]


class Identity(Protocol):
    """What the edge asks of the identity slice."""

    def by_key(self, services: Services, api_key: str) -> Key | None:
        """Return whose key this is, or None when nobody may sign with it."""
        ...

    def by_session(self, services: Services, token: str, session_key: str) -> Caller | None:
        """Return whose session this is; a session whose key is wrong is dropped."""
        ...

    def drop_session(self, services: Services, token: str) -> None:
        """End a session."""
        ...

    def admit(self, services: Services, caller: Caller, command: str) -> None:
        """Count a call; raise RateLimited when the caller's account has made too many."""
        ...

    def system(self, services: Services) -> Caller:
        """Return the system's own user, a root admin."""
        ...


class Anonymous(Command):
    """Base of the sign-in family: answered before any check of credentials, by POST only."""

    def answer(self, services: Services, facts: Facts) -> Signed:
        """Do it, in transactions of its own."""
        raise NotImplementedError(f"{self.spec.name} has no answer method")


_identity: list[Identity] = []


def provide(identity: Identity) -> None:
    """Tell the edge who knows the users."""
    _identity[:] = [identity]


def identity() -> Identity:
    """Return who knows the users."""
    return _identity[0]
