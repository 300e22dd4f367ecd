"""Signatures of API requests: HMAC-SHA1 over the sorted, encoded, lower-cased parameters (CloudStack's rule)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from urllib.parse import quote

from pileus.core.errors import ApiError

_SAFE = "*-._"  # what Java's URLEncoder leaves alone beside letters and digits
_PLAIN = re.compile(r"[A-Za-z0-9*._-]*")


class BadSignature(ApiError):
    """Credentials that do not prove who calls (without a cserrorcode, as CloudStack's servlet answers)."""

    code, cserrorcode = 401, 0


def string_to_sign(parameters: Mapping[str, str]) -> str:
    """Return what is signed: every parameter but the signature, sorted by name as sent, then lower-cased."""
    pairs = sorted((name, value) for name, value in parameters.items() if name.lower() != "signature")
    return "&".join(f"{name}={_encoded(value)}" for name, value in pairs).lower()


def _encoded(value: str) -> str:
    if _PLAIN.fullmatch(value):  # most are; a tenth of the work
        return value
    # Python leaves "~" alone always; Java does not.
    return quote(value, safe=_SAFE).replace("~", "%7E")


def sign(parameters: Mapping[str, str], secret: str) -> str:
    """Return the signature (base64) of the parameters."""
    digest = hmac.new(secret.encode(), string_to_sign(parameters).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def verify(parameters: Mapping[str, str], secret: str, *, now: float | None = None) -> None:
    """Check signature and expiry of a request; raises BadSignature.

    ``parameters``: as sent, decoded, the last value of each.
    """
    lowered = {name.lower(): value for name, value in parameters.items()}
    given = lowered.get("signature")
    if not given:
        raise refused()
    if not hmac.compare_digest(sign(parameters, secret).encode(), given.encode()):
        raise refused()
    if lowered.get("signatureversion") == "3":
        expires = _moment(lowered.get("expires"))
        if expires is None or expires < (time.time() if now is None else now):
            raise refused()


def refused() -> BadSignature:
    """Return the error that says no more than that the credentials are not good."""
    return BadSignature("unable to verify user credentials and/or request signature")


def _moment(text: str | None) -> float | None:
    """Return an ISO 8601 time with zone in seconds since the epoch, or None when it is none."""
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
