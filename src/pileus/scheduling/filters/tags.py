"""Only hosts with all tags of the service offering."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that lack a tag."""
    missing = request.host_tags - host.tags
    if not missing:
        return None
    named = ", ".join(sorted(missing))
    word = "tag" if len(missing) == 1 else "tags"
    return Reason(f"lacks the {word} {named}", f"lack the {word} {named}")
