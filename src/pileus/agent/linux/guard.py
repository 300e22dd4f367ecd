"""Keeps machines from sending under a MAC or address that is not theirs: one nft table for all taps of this host."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import nftables
from pileus.dataplane import names
from pileus.dataplane.tap_guard import render_guard
from pileus.wire.machines import Nic

_lock = threading.Lock()


def ensure(context: AgentContext, nics: Iterable[Nic]) -> bool:
    """Let these NICs, and what is no tap of this cloud, send what they may; tells whether anything had to change."""
    rules = render_guard(context.prefix, nics)
    with _lock:
        return nftables.keep("bridge", names.host_table(context.prefix), rules, _record(context))


def remove(context: AgentContext) -> None:
    """Take the table away, when no machine is here any more."""
    with _lock:
        nftables.forget("bridge", names.host_table(context.prefix), _record(context))


def _record(context: AgentContext) -> Path:
    return kept.run_folder(context) / "guard.json"
