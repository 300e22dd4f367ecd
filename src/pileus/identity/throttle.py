"""Throttling of log-ins: after a few failures each further one must wait, twice as long each time.

Counted for each user name with address, and (with a higher allowance) for each address; in memory of this server.
"""

from __future__ import annotations

import threading
import time

from pileus.core.errors import RateLimited
from pileus.core.services import Services

FREE = 5
FREE_PER_ADDRESS = 30
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
_MOST = 20_000


class Throttle:
    """Failures by key, and until when each key has to wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, ...], tuple[int, float]] = {}  # key -> failures, time of the last

    def check(self, username: str, address: str) -> None:
        """Refuse (429) while the name or the address has to wait."""
        with self._lock:
            wait = max(self._wait((username.lower(), address), FREE), self._wait((address,), FREE_PER_ADDRESS))
        if wait > 0:
            raise RateLimited(f"too many failed log-ins; try again in {wait:.0f} s")

    def failed(self, username: str, address: str) -> None:
        """Count a failure."""
        with self._lock:
            if len(self._failures) > _MOST:
                self._forget()
            for key in ((username.lower(), address), (address,)):
                count, _ = self._failures.get(key, (0, 0.0))
                self._failures[key] = (count + 1, time.monotonic())

    def succeeded(self, username: str, address: str) -> None:
        """Forget the failures of a name (those of the address stay)."""
        with self._lock:
            self._failures.pop((username.lower(), address), None)

    def _wait(self, key: tuple[str, ...], free: int) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        if count < free:
            return 0.0
        return last + min(FIRST_WAIT * 2.0 ** min(count - free, 20), LONGEST_WAIT) - time.monotonic()

    def _forget(self) -> None:
        old = time.monotonic() - LONGEST_WAIT
        self._failures = {key: value for key, value in self._failures.items() if value[1] > old}


def throttle(services: Services) -> Throttle:
    """Return this server's counters."""
    return services.plugins.setdefault("identity.throttle", Throttle())
