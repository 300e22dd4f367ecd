"""The second factor of people who sign in with a password: a one-time code by time, or a PIN that stays.

A user's factor is ``off``, ``pending`` from its set-up until the first right code, then ``on``: whoever mistypes the
secret is not locked out.  It holds for sessions; calls that are signed with a key need no code.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import settings
from pileus.core.database import now
from pileus.core.errors import ApiError
from pileus.core.services import Services
from pileus.core.signing import BadSignature
from pileus.identity import totp

OFF, PENDING, ON = "off", "pending", "on"
TOTP, PIN = "totp", "staticpin"
PROVIDERS = {
    PIN: "A PIN of six digits that stays the same",
    TOTP: "A one-time code of an authenticator application (RFC 6238)",
}

_SCOPES = ("global", "domain")
ENABLED = settings.declare(
    "enable.user.2fa", bool, False, "Whether users may set up a second factor of sign-in", scopes=_SCOPES
)
MANDATED = settings.declare(
    "mandate.user.2fa",
    bool,
    False,
    "Whether everybody must have a second factor of sign-in, where enable.user.2fa allows any",
    scopes=_SCOPES,
)
DEFAULT_PROVIDER = settings.declare(
    "user.2fa.default.provider",
    str,
    TOTP,
    "Second factor that is set up when none is named",
    scopes=_SCOPES,
    options=tuple(PROVIDERS),
)
ISSUER = settings.declare(
    "user.2fa.issuer", str, "CloudStack", "Name of this cloud in authenticator applications", scopes=_SCOPES
)

BEFORE_CODE = frozenset(
    {
        "listApis",
        "listUserTwoFactorAuthenticatorProviders",
        "setupUserTwoFactorAuthentication",
        "validateUserTwoFactorAuthenticationCode",
    }
)
"""What a session may call before its second factor has come."""

CODE_FIRST = (
    "this session waits for its second factor: call validateUserTwoFactorAuthenticationCode first, and before it "
    "setupUserTwoFactorAuthentication when there is none yet"
)


class NotVerified(BadSignature):
    """A call of a session whose second factor has not come (without a cserrorcode, as what the edge refuses)."""

    code, cserrorcode = 511, 0


class WrongCode(ApiError):
    """A code that is wrong, or was used before."""

    code, cserrorcode = 511, 9999


def enabled(services: Services, row: Row[Any]) -> bool:
    """Tell whether this user may set up a second factor."""
    return services.settings.get(ENABLED, ("domain", row.domain_id))


def mandated(services: Services, row: Row[Any]) -> bool:
    """Tell whether this user must have a second factor."""
    if not enabled(services, row):
        return False  # who may set up none is not locked out for it
    return bool(row.two_factor_mandated) or services.settings.get(MANDATED, ("domain", row.domain_id))


def missing(services: Services, row: Row[Any]) -> bool:
    """Tell whether this user must have a second factor and has none yet: sessions of before are for its set-up only."""
    return row.two_factor_state != ON and mandated(services, row)


def needed(services: Services, row: Row[Any]) -> bool:
    """Tell whether a session of this user waits for a code."""
    return row.two_factor_state == ON or mandated(services, row)


def login_fields(services: Services, row: Row[Any]) -> dict[str, object]:
    """Return what the answer to a log-in says of the second factor; without a provider it is yet to be set up."""
    waits = needed(services, row)
    return {
        "is2faenabled": "true" if waits else "false",
        "is2faverified": "false" if waits else "true",
        "providerfor2fa": row.two_factor_provider if row.two_factor_state == ON else None,
        "issuerfor2fa": services.settings.get(ISSUER, ("domain", row.domain_id)) if waits else None,
    }


def new_key(provider: str) -> str:
    """Return a new secret of a provider, as it is shown to the user."""
    return totp.new_secret() if provider == TOTP else f"{secrets.randbelow(1_000_000):06}"


def right(services: Services, row: Row[Any], code: str) -> dict[str, Any] | None:
    """Return what a right code changes in the user's row; None when it is wrong or was used before."""
    key = services.secrets.decrypt(row.two_factor_key)
    if row.two_factor_provider == PIN:
        return {} if hmac.compare_digest(key.encode(), code.encode()) else None
    step = totp.step_of(key, code, now())
    if step is None or (row.two_factor_step is not None and step <= row.two_factor_step):
        return None
    return {"two_factor_step": step}
