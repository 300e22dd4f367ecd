"""Setting up the second factor of one's own log-ins, proving it, and taking it away."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Row

from pileus.core import permissions
from pileus.core.calls import DOMAIN_ADMIN, RESOURCE_ADMIN, Call, Listed
from pileus.core.commands import Command, Success, command
from pileus.core.database import change
from pileus.core.errors import ConcurrentChange, InvalidParameter, PermissionDenied
from pileus.core.listing import ListCommand, page_of
from pileus.core.parameters import Ref
from pileus.core.services import Services
from pileus.identity import second_factor, sessions, store, throttle
from pileus.identity.second_factor import OFF, ON, PENDING
from pileus.identity.tables import account, user

log = structlog.get_logger(__name__)

_GONE: dict[str, Any] = {
    "two_factor_state": OFF,
    "two_factor_provider": None,
    "two_factor_key": None,
    "two_factor_step": None,
}


def _own(call: Call) -> Row[Any]:
    """Return the caller's row, held against others until the end of the transaction."""
    if call.caller.user_id == store.SYSTEM_USER:
        raise PermissionDenied("nobody signs in as the system's user, so it has no second factor")
    return call.db.execute(sa.select(user).where(user.c.id == call.caller.user_id).with_for_update()).one()


@command("listUserTwoFactorAuthenticatorProviders")
class ListProviders(ListCommand):
    """List the kinds of second factor that there are."""

    name: str | None = None

    def run(self, call: Call) -> Listed:
        """Return them, or the one of this name."""
        found: list[dict[str, Any]] = [
            {"name": name, "description": text}
            for name, text in second_factor.PROVIDERS.items()
            if self.name is None or self.name.lower() == name
        ]
        if not found:
            raise InvalidParameter(
                f"parameter name: there is no second factor {(self.name or '')[:64]!r}; "
                f"there are {' and '.join(second_factor.PROVIDERS)}"
            )
        return page_of(found, self.page, self.pagesize)


@command("setupUserTwoFactorAuthentication", event="USER.UPDATE", manage=["userid"])
class SetUp(Command):
    """Set up a second factor for the caller, whose secret is shown this once; enable=false takes one away."""

    enable: bool = True
    provider: str | None = None
    userid: Ref | None = None

    def check(self) -> None:
        """Check the provider."""
        if self.provider is not None and self.provider.lower() not in second_factor.PROVIDERS:
            raise InvalidParameter(
                f"parameter provider must be {' or '.join(second_factor.PROVIDERS)}, not {self.provider[:60]!r}"
            )

    def run(self, call: Call) -> dict[str, Any]:
        return self._set_up(call) if self.enable else self._take_away(call)

    def _set_up(self, call: Call) -> dict[str, Any]:
        row = _own(call)
        if self.userid is not None and self.userid.id != row.id:
            raise InvalidParameter("parameter userid: nobody sets up a second factor for others; leave it out")
        if not second_factor.enabled(call.services, row):
            raise PermissionDenied("second factors are off in this domain: the setting enable.user.2fa says so")
        if row.two_factor_state == ON:
            if not call.caller.verified:
                raise second_factor.NotVerified(second_factor.CODE_FIRST)
            raise InvalidParameter("there is a second factor already; take it away first with enable=false")
        default = call.services.settings.get(second_factor.DEFAULT_PROVIDER, ("domain", row.domain_id))
        provider = (self.provider or default).lower()
        key = second_factor.new_key(provider)
        new = _GONE | {
            "two_factor_state": PENDING,
            "two_factor_provider": provider,
            "two_factor_key": call.services.secrets.encrypt(key),
        }
        if not change(call.db, user, row.id, expect={"removed": None, "two_factor_state": (OFF, PENDING)}, **new):
            raise ConcurrentChange("the user changed meanwhile; try again")
        call.describe(f"setting up a second factor of user {row.username}", owner=row, resource=("User", row.uuid))
        return _shown(call, row) | {"secretcode": key}

    def _take_away(self, call: Call) -> dict[str, Any]:
        row = self.userid or _own(call)
        if row.id == call.caller.user_id:
            if not call.caller.verified:
                raise second_factor.NotVerified(second_factor.CODE_FIRST)
        else:
            _check_helper(call)
        if not change(call.db, user, row.id, expect={"removed": None}, **_GONE):
            raise ConcurrentChange("the user was deleted meanwhile")
        throttle.forget(call.db, throttle.second_factor(row.id))
        sessions.end_unverified(call.db, row.id)
        call.describe(f"taking away the second factor of user {row.username}", owner=row, resource=("User", row.uuid))
        return _shown(call, row)


def _check_helper(call: Call) -> None:
    """Refuse who may not take the second factor of others: not an admin, or one whose role changes no users."""
    caller = call.caller
    if not caller.verified:
        raise second_factor.NotVerified(second_factor.CODE_FIRST)
    if not caller.admin and caller.role not in (DOMAIN_ADMIN, RESOURCE_ADMIN):
        raise PermissionDenied("parameter userid: users without an admin's role change only themselves")
    if "updateUser" not in permissions.allowed(call.services, caller):
        raise PermissionDenied("parameter userid: the own role does not allow updateUser, so only the own user")


def _shown(call: Call, row: Row[Any]) -> dict[str, Any]:
    of = call.db.execute(sa.select(account.c.uuid).where(account.c.id == row.account_id)).scalar_one()
    return {"id": row.uuid, "username": row.username, "accountid": of}


@command("validateUserTwoFactorAuthenticationCode")
class Validate(Command):
    """Prove the second factor with a code; the session is then good for everything, and a new factor in force."""

    codefor2fa: str
    taken = False

    def run(self, call: Call) -> Success:
        """Take the code, or count that it was wrong: the count must be kept, so the refusal comes after the commit."""
        row = _own(call)
        if row.two_factor_state == OFF:
            raise InvalidParameter("the user has no second factor; setupUserTwoFactorAuthentication makes one")
        whom = throttle.second_factor(row.id)
        throttle.refuse(call.db, whom)
        changed = second_factor.right(call.services, row, self.codefor2fa.strip())
        self.taken = changed is not None
        if changed is None:
            throttle.count(call.db, whom)
            log.info("code of a second factor refused", username=row.username, user=row.uuid)
            return Success()
        throttle.forget(call.db, whom)
        expected = {"two_factor_state": row.two_factor_state, "two_factor_key": row.two_factor_key}
        if not change(call.db, user, row.id, expect=expected, **changed, two_factor_state=ON):
            raise ConcurrentChange("the second factor changed meanwhile")
        if row.two_factor_state == PENDING:
            sessions.end_others(call.db, row.id, call.caller.session)
        sessions.verify(call.db, call.caller.session)
        return Success()

    def finishup(self, services: Services, result: Any) -> Any:
        """Refuse a wrong code."""
        if not self.taken:
            raise second_factor.WrongCode("the code is wrong, or it was used before; wait for the next one")
        return result
