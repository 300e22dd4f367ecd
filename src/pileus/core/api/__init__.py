"""Commands of the core itself: discovery, capabilities, jobs, events."""

from __future__ import annotations

import importlib


def load() -> None:
    """Register them."""
    for name in ("capabilities", "discovery", "events", "jobs"):
        importlib.import_module(f"pileus.core.api.{name}")
