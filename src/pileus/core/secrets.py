"""Secrets: encrypted at rest with a key file that lies beside the data, never inside the database.

Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec) from the cryptography package.  The file has a key
a line: the first one encrypts, all decrypt.  There are two only while ``pileus rekey`` is under way (core/rekeying.py).
"""

from __future__ import annotations

import os
import secrets as random
import string
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

# Characters that people can read out to each other: without 0 O 1 l I.
_READABLE = "".join(c for c in string.ascii_letters + string.digits if c not in "0O1lI")


class Secrets:
    """Encrypts and decrypts small texts with the key of this cloud."""

    def __init__(self, key_file: Path) -> None:
        if not key_file.exists():
            key_file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key())
        self._fernet = MultiFernet([Fernet(key) for key in key_file.read_bytes().split()])

    def encrypt(self, text: str) -> str:
        """Return the text encrypted (URL-safe base64)."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Return the clear text; raises cryptography.fernet.InvalidToken when the key is another one."""
        return self._fernet.decrypt(token.encode()).decode()


def random_password(length: int = 12) -> str:
    """Return a random password of readable characters."""
    return "".join(random.choice(_READABLE) for _ in range(length))


def random_key() -> str:
    """Return 64 random bytes as URL-safe text (86 characters), as API and secret keys are."""
    return random.token_urlsafe(64)
