"""How often an account may call: at most so many commands in an interval, as the settings say.

Counted in the memory of each server, with no write for a call: each of several servers admits an equal share, so that
all of them together admit no more than one would (only with more servers than calls allowed, each admits one).
"""

from __future__ import annotations

import threading
import time

import msgspec

from pileus.core import settings
from pileus.core.calls import Caller
from pileus.core.errors import RateLimited
from pileus.core.services import Services

ENABLED = settings.declare("api.throttling.enabled", bool, False, "Whether calls of an account are limited")
INTERVAL = settings.declare("api.throttling.interval", int, 1, "Seconds in which calls are counted", minimum=1)
MOST = settings.declare(
    "api.throttling.max",
    int,
    25,
    "Calls that an account may make in an interval, of all servers together: each admits an equal share",
    minimum=1,
)
_SIZE = settings.declare(
    "api.throttling.cachesize", int, 50_000, "Accounts whose calls a server remembers at most", minimum=1
)
ALWAYS = frozenset({"resetApiLimit", "getApiLimit"})


class Window(msgspec.Struct):
    """An account's calls in the interval that runs."""

    ends: float  # by the monotonic clock
    calls: int = 0


class Counter:
    """The windows of this server's accounts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[int, Window] = {}

    def count(self, account_id: int, interval: float, size: int) -> Window:
        """Count a call and return the account's window, with it."""
        with self._lock:
            moment = time.monotonic()
            window = self._windows.get(account_id)
            if window is None or window.ends <= moment:
                if len(self._windows) >= size:
                    self._windows = {id_: each for id_, each in self._windows.items() if each.ends > moment}
                window = self._windows[account_id] = Window(moment + interval)
            window.calls += 1
            return Window(window.ends, window.calls)

    def look(self, account_id: int) -> Window | None:
        """Return the account's window, when one runs."""
        with self._lock:
            window = self._windows.get(account_id)
            if window is None or window.ends <= time.monotonic():
                return None
            return Window(window.ends, window.calls)

    @property
    def remembered(self) -> int:
        """Return how many accounts' calls are remembered."""
        with self._lock:
            return len(self._windows)

    def reset(self, account_id: int | None) -> None:
        """Forget the calls of an account, or of all."""
        with self._lock:
            if account_id is None:
                self._windows.clear()
            else:
                self._windows.pop(account_id, None)


def counter(services: Services) -> Counter:
    """Return this server's counter."""
    return services.plugins.setdefault("identity.rates", Counter())


def share(services: Services) -> int:
    """Return how many calls of an account this server admits in an interval: its part of what all admit."""
    servers = len(services.engine.membership.live) if services.engine is not None else 1
    return max(1, services.settings.get(MOST) // servers)


def check(services: Services, caller: Caller, command: str) -> None:
    """Count a call; raise RateLimited when the account has had enough. Root admins are not limited."""
    if not services.settings.get(ENABLED) or caller.admin or command in ALWAYS:
        return
    read = services.settings.get
    window = counter(services).count(caller.account_id, read(INTERVAL), read(_SIZE))
    most = share(services)
    if window.calls > most:
        wait = max(0.0, window.ends - time.monotonic())
        raise RateLimited(
            f"the account {caller.account} has called this server more than {most} times in {read(INTERVAL)} s; "
            f"try again in {wait:.1f} s"
        )
