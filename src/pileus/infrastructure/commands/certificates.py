"""Commands of the cloud's own certificate authority."""

from __future__ import annotations

from typing import Any

from pileus.core import pki
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.infrastructure import model
from pileus.infrastructure.computed import ComputedList

_PROVIDER = "root"
_DESCRIPTION = "The cloud's own certificate authority (EC P-256): it signs what servers and agents know one another by"


@command("listCAProviders")
class ListProviders(ComputedList):
    """List the certificate authorities: there is one."""

    name: str | None = None

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return it, when it is the one asked for."""
        if self.name is not None and self.name.lower() != _PROVIDER:
            return []
        return [{"name": _PROVIDER, "description": _DESCRIPTION}]


@command("listCaCertificate")
class ListCaCertificate(Command):
    """Show the certificate of the cloud's authority."""

    provider: str | None = None

    def check(self) -> None:
        """Check the provider."""
        if self.provider is not None:
            model.one_of("provider", self.provider, (_PROVIDER,))

    def run(self, call: Call) -> dict[str, Any]:
        """Return it."""
        authority = call.services.plugins.get("authority")
        if not isinstance(authority, pki.Authority):
            raise InvalidParameter("this server has simulated hosts only, and no certificate authority for agents")
        return {"cacertificates": authority.pem}
