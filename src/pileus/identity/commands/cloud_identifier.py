"""getCloudIdentifier: which cloud this is, signed with a user's own secret key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.core.settings import declare
from pileus.identity.store import ROOT
from pileus.identity.tables import domain

IDENTIFIER = declare("cloud.identifier", str, "", "name of this cloud for others; empty = the id of its ROOT domain")


@command("getCloudIdentifier", manage=("userid",))
class GetCloudIdentifier(Command):
    """Return the identifier of this cloud with its signature (HMAC-SHA1 with the user's secret key)."""

    userid: Ref

    def run(self, call: Call) -> dict[str, Any]:
        """Sign the identifier."""
        if not self.userid.secret_key:
            raise InvalidParameter("parameter userid: the user has no keys yet; registerUserKeys makes them")
        secret = call.services.secrets.decrypt(self.userid.secret_key)
        name = call.services.settings.get(IDENTIFIER) or _root(call)
        digest = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
        return {
            "userid": self.userid.uuid,
            "cloudidentifier": name,
            "signature": base64.b64encode(digest).decode(),
        }


def _root(call: Call) -> str:
    return str(database.one(call.db, domain, ROOT).uuid)
