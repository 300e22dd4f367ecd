"""API keys: made anew at each registration, the secret kept encrypted."""

from __future__ import annotations

from typing import Any

from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, change
from pileus.core.errors import ConcurrentChange, PermissionDenied
from pileus.core.parameters import Ref
from pileus.core.secrets import random_key
from pileus.identity import callers, store
from pileus.identity.tables import user


@command("registerUserKeys", event="REGISTER.USER.KEY")
class RegisterUserKeys(Command):
    """Make a new pair of keys for a user; the old ones end."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        _refuse_system(self.id.id)
        key, secret = random_key(), random_key()
        encrypted = call.services.secrets.encrypt(secret)
        if not change(call.db, user, self.id.id, expect={"removed": None}, api_key=key, secret_key=encrypted):
            raise ConcurrentChange("the user was deleted meanwhile")
        after_commit(call.db, lambda: callers.forget(call.services))
        call.describe(f"registering keys of user {self.id.username}", owner=self.id, resource=("User", self.id.uuid))
        return {"apikey": key, "secretkey": secret}


@command("getUserKeys", manage=["id"])
class GetUserKeys(Command):
    """Return the keys of a user."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        _refuse_system(self.id.id)
        secret = self.id.secret_key
        return {"apikey": self.id.api_key, "secretkey": call.services.secrets.decrypt(secret) if secret else None}


def _refuse_system(user_id: int) -> None:
    if user_id == store.SYSTEM_USER:
        raise PermissionDenied("nobody acts as the system's user")
