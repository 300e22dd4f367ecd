"""One-time codes by time: RFC 6238 (TOTP) over RFC 4226 (HOTP), with SHA-1, six digits and steps of 30 s.

These are the values that authenticator applications assume.  A code of the step before or after the current one is
taken too, for clocks that differ and people who type slowly (RFC 6238, section 5.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

STEP_SECONDS = 30
DIGITS = 6
DRIFT = 1
"""Steps by which the two clocks may differ."""


def new_secret() -> str:
    """Return a random secret of 160 bits (RFC 4226, section 4) in base32, as people type it into an application."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int, digits: int = DIGITS) -> str:
    """Return the code of a step (RFC 4226, section 5.3)."""
    digest = hmac.new(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_of(secret: str, code: str, moment: float) -> int | None:
    """Return the step that a code belongs to, of those that may be used at a time (seconds); None = a wrong code."""
    current = int(moment // STEP_SECONDS)
    found = None
    for step in range(current - DRIFT, current + DRIFT + 1):  # all of them: it takes as long whichever it is
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found
