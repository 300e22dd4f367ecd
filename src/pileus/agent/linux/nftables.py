"""Load rulesets with nft, in the calling thread's network namespace."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import msgspec

from pileus.agent import kept
from pileus.agent.linux.commands import CommandError, run

_NETLINK_NETFILTER = 12
_GET_GENERATION = (10 << 8) | 16  # subsystem nf_tables, message NFT_MSG_GETGEN
_REQUEST = 1
_GENERATION_ID = 1  # attribute NFTA_GEN_ID
_seen: dict[Path, tuple[str, int]] = {}  # by record: the rules that were right at that number of the ruleset


def load(ruleset: str) -> None:
    """Apply a file in one transaction: all of it or, with CommandError, nothing."""
    run(["nft", "-f", "-"], text=ruleset)


def keep(family: str, name: str, rules: str, record: Path) -> bool:
    """Load a table unless just this text was loaded and the kernel still holds what it then held; tells whether.

    `record` is a file of ours that remembers both.  While nobody changes any rule on the host, a look is one message.
    """
    number = generation()
    if _seen.get(record) == (rules, number):
        return False
    known = kept.load(record, dict[str, str]) or {}
    right = known.get("rules") == rules and known.get("listing") == listing(family, name)
    if not right:
        load(rules)
        number = generation()
        kept.write(record, msgspec.json.encode({"rules": rules, "listing": listing(family, name)}))
    _seen[record] = (rules, number)
    return not right


def forget(family: str, name: str, record: Path) -> None:
    """Delete a table and what is remembered of it."""
    delete_table(family, name)
    _seen.pop(record, None)
    record.unlink(missing_ok=True)


def generation() -> int:
    """Return the number of the namespace's ruleset, which every change of any rule by anybody makes another one.

    Wire format: linux/netlink.h and linux/netfilter/nf_tables.h.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(5.0)
        kernel.bind((0, 0))
        payload = struct.pack("=BBH", 0, 0, 0)
        kernel.send(struct.pack("=LHHLL", 16 + len(payload), _GET_GENERATION, _REQUEST, 1, 0) + payload)
        answer = kernel.recv(4096)
    offset = 16 + 4
    while offset + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, offset)
        if kind == _GENERATION_ID:
            return int(struct.unpack_from("!L", answer, offset + 4)[0])
        offset += max(4, (length + 3) & ~3)
    raise CommandError("the kernel did not tell the number of its nft ruleset")


def tables() -> list[str]:
    """Name all tables, each as "table FAMILY NAME"."""
    return run(["nft", "list", "tables"]).splitlines()


def listing(family: str, name: str) -> str:
    """Return a table as the kernel holds it, without counters; "" when it is not there."""
    try:
        return run(["nft", "-s", "list", "table", family, name])
    except CommandError:
        return ""


def delete_table(family: str, name: str) -> None:
    """Delete a table, if it is there."""
    load(f"add table {family} {name}\ndelete table {family} {name}\n")
