"""Passwords: argon2id hashes. Hashing takes tens of milliseconds on purpose, so never inside a transaction."""

from __future__ import annotations

import re

import argon2

from pileus.core.errors import InvalidParameter
from pileus.core.services import Services
from pileus.core.settings import declare

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


_SCOPES = ("global", "domain")
_LEAST = {
    name: declare(f"password.policy.minimum.{name}", int, 0, text, scopes=_SCOPES, minimum=0, maximum=MAX_LENGTH)
    for name, text in {
        "length": "Characters that a password has at least",
        "digits": "Digits that a password has at least",
        "uppercase.letters": "Upper-case letters that a password has at least",
        "lowercase.letters": "Lower-case letters that a password has at least",
        "special.characters": "Characters, neither letters nor digits, that a password has at least",
    }.items()
}
_MAY_CONTAIN_NAME = declare(
    "password.policy.allowPasswordToContainUsername",
    bool,
    True,
    "Whether a password may contain the user's name",
    scopes=_SCOPES,
)


def _is_pattern(text: str) -> None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"must be a regular expression ({error})") from None


_PATTERN = declare(
    "password.policy.regex",
    str,
    ".+",
    "Regular expression that a password as a whole matches; as a slow one stops the server, it is for root admins",
    scopes=_SCOPES,
    check=_is_pattern,
    root_only=True,
)


def check_policy(services: Services, domain_id: int, username: str, password: str) -> None:
    """Check a new password against the settings of the user's domain (InvalidParameter)."""
    has = {
        "length": len(password),
        "digits": sum(each.isdigit() for each in password),
        "uppercase.letters": sum(each.isupper() for each in password),
        "lowercase.letters": sum(each.islower() for each in password),
        "special.characters": sum(not each.isalnum() for each in password),
    }
    for name, handle in _LEAST.items():
        least = services.settings.get(handle, ("domain", domain_id))
        if has[name] < least:
            what = "characters" if name == "length" else name.replace(".", " ")
            raise InvalidParameter(
                f"parameter password must have at least {least} {what}, it has {has[name]} "
                f"(setting password.policy.minimum.{name})"
            )
    if not services.settings.get(_MAY_CONTAIN_NAME, ("domain", domain_id)) and username.lower() in password.lower():
        raise InvalidParameter(
            "parameter password may not contain the user's name "
            "(setting password.policy.allowPasswordToContainUsername)"
        )
    pattern = services.settings.get(_PATTERN, ("domain", domain_id))
    if pattern and not re.fullmatch(pattern, password, re.DOTALL):
        raise InvalidParameter(
            f"parameter password does not match the pattern {pattern[:200]!r} (setting password.policy.regex)"
        )
