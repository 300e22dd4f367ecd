"""Only hosts with all tags of the service offering, and those whose tag rule takes the offering."""

from __future__ import annotations

from pileus.scheduling import tag_rules
from pileus.scheduling.model import Host, Reason, Request

_RULE = Reason("does not take the offering by its tag rule", "do not take the offering by their tag rule")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that lack a tag, or whose rule is not fulfilled."""
    if host.tag_rule is not None:
        return None if tag_rules.compiled(host.tag_rule)(request.listed_tags) else _RULE
    missing = request.host_tags - host.tags
    if not missing:
        return None
    named = ", ".join(sorted(missing))
    word = "tag" if len(missing) == 1 else "tags"
    return Reason(f"lacks the {word} {named}", f"lack the {word} {named}")
