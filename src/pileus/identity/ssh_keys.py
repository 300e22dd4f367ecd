"""SSH public keys: reading, checking, making them; their fingerprints as CloudStack writes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.errors import InvalidParameter
from pileus.identity.tables import ssh_key_pair

BITS = 2048
TYPES = (
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""The kinds of public keys that sshd takes today."""


def make() -> tuple[str, str]:
    """Return a new RSA key pair: the private key (PEM) and the public one (a line of authorized_keys)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def public(text: str) -> str:
    """Return a public key as one line of authorized_keys, checked; the line may be given in base64 too."""
    line = " ".join(text.split())
    if not line.startswith(TYPES):
        try:
            line = " ".join(base64.b64decode(line, validate=True).decode().split())
        except (binascii.Error, ValueError):
            line = ""
    kind, _, rest = line.partition(" ")
    blob = _blob(rest.split(" ", 1)[0])
    if kind not in TYPES or blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind.encode():
        raise InvalidParameter(f"parameter publickey is no public key of a kind that is known: {', '.join(TYPES)}")
    return line


def fingerprint(line: str) -> str:
    """Return the MD5 fingerprint of a public key: 16 bytes in hex with colons."""
    digest = hashlib.md5(_blob(line.split(" ")[1]), usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def named(db: Connection, owner: Row[Any], names: Iterable[str], *, parameter: str) -> list[Row[Any]]:
    """Return an account's key pairs of these names, in their order, each once."""
    wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not wanted:
        return []
    c = ssh_key_pair.c
    rows = db.execute(sa.select(ssh_key_pair).where(c.account_id == owner.account_id, c.name.in_(wanted))).all()
    found = {row.name: row for row in rows}
    for name in wanted:
        if name not in found:
            raise InvalidParameter(f"parameter {parameter}: the account has no SSH key pair {name[:64]!r}")
    return [found[name] for name in wanted]


def columns(pairs: Sequence[Row[Any]]) -> dict[str, Any]:
    """Return the columns of a machine that has these key pairs."""
    return {
        "public_keys": [pair.public_key for pair in pairs],
        "key_pairs": ",".join(pair.name for pair in pairs) or None,
    }
