"""Names of DNS domains that users choose for their networks."""

from __future__ import annotations

import re

from pileus.core.errors import InvalidParameter

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def network_domain(parameter: str, value: str) -> str:
    """Return a DNS domain name, in small letters (RFC 1035: labels of letters, digits and hyphens)."""
    text = value.strip().removesuffix(".").lower()
    if not text or len(text) > 190 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise InvalidParameter(
            f"parameter {parameter} must be a domain name such as cloud.example (labels of letters, digits and "
            f"hyphens), not {value[:60]!r}"
        )
    return text
