"""Secrets in rows of jobs: encrypted while they are needed, gone afterwards.

Arguments of operations that hold secrets lie in the outbox as a JSON string (the encrypted text of the JSON object)
instead of an object, and no arguments at all are left once they cannot be needed any more.
"""

from __future__ import annotations

from typing import Any

import msgspec

_kinds: set[str] = set()


def secret_operations(*kinds: str) -> None:
    """Say that the arguments of operations of these kinds hold secrets."""
    _kinds.update(kinds)


def seal(services: Any, kind: str, arguments: dict[str, Any]) -> str:
    """Return arguments as the outbox keeps them; engines without services (of tests) have no key."""
    text = msgspec.json.encode(arguments).decode()
    if kind not in _kinds or services is None:
        return text
    return msgspec.json.encode(services.secrets.encrypt(text)).decode()


def unseal(services: Any, text: str) -> dict[str, Any]:
    """Return arguments out of the outbox; raises cryptography.fernet.InvalidToken when the key is another one."""
    kept = msgspec.json.decode(text)
    return msgspec.json.decode(services.secrets.decrypt(kept)) if isinstance(kept, str) else kept
