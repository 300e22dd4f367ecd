"""Commands of the core itself: discovery, capabilities, settings, jobs, events, alerts."""

from __future__ import annotations

import importlib


def load() -> None:
    """Register them."""
    for name in ("alerts", "capabilities", "configuration", "discovery", "events", "jobs"):
        importlib.import_module(f"pileus.core.api.{name}")
    for name in ("mailing", "housekeeping"):
        importlib.import_module(f"pileus.core.{name}")
