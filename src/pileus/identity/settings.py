"""Settings of identity that other slices read too."""

from __future__ import annotations

from pileus.core.calls import ADMIN, DOMAIN_ADMIN
from pileus.core.settings import Settings, declare

TAGGED_OFFERINGS = declare(
    "allow.domain.admins.to.create.tagged.offerings",
    bool,
    False,
    "Whether domain admins may create offerings with tags",
    scopes=("global", "domain", "account"),
)


def may_tag_offerings(settings: Settings, role_type: str, domain_id: int, account_id: int) -> bool:
    """Tell whether an account may make offerings with tags of hosts or storage."""
    scopes = (("account", account_id), ("domain", domain_id))
    return role_type == ADMIN or (role_type == DOMAIN_ADMIN and settings.get(TAGGED_OFFERINGS, *scopes))
