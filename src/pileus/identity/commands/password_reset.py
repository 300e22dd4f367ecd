"""Asking for a new password, and setting it with the token that came by mail."""

from __future__ import annotations

import structlog

from pileus.core import events, jobs
from pileus.core.authentication import Anonymous, Facts, Signed
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.database import change
from pileus.core.errors import AuthenticationFailed
from pileus.core.services import Services
from pileus.identity import password_reset, passwords, sessions, store, throttle
from pileus.identity.commands.sign_in import path_of
from pileus.identity.tables import user

log = structlog.get_logger(__name__)

_DONE: dict[str, object] = {"success": True}
_REFUSED = "the token is wrong, was used before or has ended; ask for another one with forgotPassword"


@command("forgotPassword")
class ForgotPassword(Anonymous):
    """Mail a token for a new password to a user; the answer is the same whether there is such a user or not."""

    username: str
    domain: str | None = None

    def answer(self, services: Services, facts: Facts) -> Signed:
        password_reset.check_enabled(services)
        password_reset.check_set_up(services)
        path = path_of(self.domain)
        whom = throttle.reset(self.username, path, facts.address)
        with services.database.write() as db:
            throttle.settle(db, *whom, right=False)
            jobs.submit(
                db,
                password_reset.mail_token,
                key=f"password-reset:{whom[0].key}",
                arguments={"username": self.username, "path": path},
                cmd=self.spec.name,
                user_id=store.SYSTEM_USER,
                account_id=store.SYSTEM_ACCOUNT,
                domain_id=store.ROOT,
                request=facts.request,
            )
        return Signed(content=_DONE, cookies={})


@command("resetPassword", event="USER.UPDATE")
class ResetPassword(Anonymous):
    """Set a new password with the token that came by mail; it can be used once, and all sessions end."""

    username: str
    password: str
    token: str
    domain: str | None = None

    def answer(self, services: Services, facts: Facts) -> Signed:
        password_reset.check_enabled(services)
        whom = throttle.sign_in(self.username, facts.address)
        with services.database.read() as db:
            throttle.refuse(db, *whom)
            found = password_reset.find(db, self.username, path_of(self.domain))
            good = found is not None and password_reset.is_good(db, found[0].id, self.token)
        if found is None or not good:
            with services.database.write() as db:
                throttle.settle(db, *whom, right=False)
            log.info("new password refused", username=self.username, address=facts.address)
            raise AuthenticationFailed(_REFUSED)
        row, caller = found
        passwords.check_policy(services, row.domain_id, row.username, self.password)
        hashed = passwords.hashed(self.password)
        with services.database.write() as db:
            throttle.settle(db, *whom, right=True)
            if not password_reset.use_up(db, row.id, self.token) or not change(
                db, user, row.id, expect={"removed": None}, password_hash=hashed
            ):
                raise AuthenticationFailed(_REFUSED)
            sessions.end(db, row.id)
            call = Call(db=db, caller=caller, services=services, spec=self.spec, request=facts.request)
            call.describe(f"new password of user {row.username} by mail", owner=row, resource=("User", row.uuid))
            events.completed(call)
        return Signed(content=_DONE, cookies={})
