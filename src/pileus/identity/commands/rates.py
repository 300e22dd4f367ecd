"""The limit of calls of an account."""

from __future__ import annotations

import time
from typing import Any

from pileus.core.calls import Call
from pileus.core.commands import Command, Success, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.identity import rates


@command("getApiLimit", reads=True)
class GetApiLimit(Command):
    """Return how many calls the account has made to this server in this interval, and how many it may still make."""

    def run(self, call: Call) -> dict[str, Any]:
        read = call.services.settings.get
        if not read(rates.ENABLED):
            raise InvalidParameter("calls are not limited: the setting api.throttling.enabled is false")
        window = rates.counter(call.services).look(call.caller.account_id)
        issued = window.calls if window is not None else 0
        left = window.ends - time.monotonic() if window is not None else read(rates.INTERVAL)
        return {
            "accountid": call.caller.account_uuid,
            "account": call.caller.account,
            "apiIssued": issued,
            "apiAllowed": max(0, rates.share(call.services) - issued),
            "expireAfter": round(max(0.0, left) * 1000),
        }


@command("resetApiLimit")
class ResetApiLimit(Command):
    """Forget the calls that an account (without one: all accounts) made in this interval."""

    account: Ref | None = None

    def run(self, call: Call) -> Success:
        rates.counter(call.services).reset(self.account.id if self.account is not None else None)
        return Success()
