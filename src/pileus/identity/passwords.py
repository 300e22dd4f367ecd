"""Passwords: argon2id hashes. Hashing takes tens of milliseconds on purpose, so never inside a transaction."""

from __future__ import annotations

import argon2

from pileus.core.errors import InvalidParameter

# 19 MiB, 2 passes, 1 lane: the least that the OWASP Password Storage Cheat Sheet recommends for argon2id; as many
# log-ins at once as there are request threads must fit into memory.
_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

MAX_LENGTH = 255
_DUMMY: list[str] = []


def hashed(password: str) -> str:
    """Return the hash to store."""
    if len(password) > MAX_LENGTH:
        raise InvalidParameter(f"parameter password is too long; at most {MAX_LENGTH} characters are allowed")
    return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Tell whether the password has this hash; without a hash it takes as long, so that names cannot be guessed."""
    if not _DUMMY:
        _DUMMY.append(_hasher.hash("a password that nobody has"))
    try:
        return _hasher.verify(stored or _DUMMY[0], password[: MAX_LENGTH + 1]) and stored is not None
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
