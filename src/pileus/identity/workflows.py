"""Jobs of identity: deleting accounts and domains with what they hold."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.database import change, now, one
from pileus.core.errors import ConcurrentChange, InUse
from pileus.core.jobs import Job, JobFailed, undo, workflow
from pileus.identity import cleanup
from pileus.identity.cleanup import domains_gone, refuse_visited, visitors
from pileus.identity.ldap.tables import ldap_configuration, ldap_link
from pileus.identity.projects import changes
from pileus.identity.tables import account, domain, session, user
from pileus.identity.tables import account as account_table
from pileus.identity.tables import user as user_table


def mark_account(db: Connection, row: Row[Any]) -> None:
    """Lock the account: from now on its users are refused and it gets nothing new."""
    if not change(db, account, row.id, expect={"state": row.state, "removed": None}, state="locked"):
        raise ConcurrentChange(f"account {row.name} changed meanwhile; try again")


def _unlock_account(job: Job, db: Connection, _error: JobFailed) -> None:
    before = job.arguments["before"]
    change(db, account, job.arguments["account"], expect={"state": "locked"}, state=before, needs_cleanup=True)


@workflow("account.delete", on_failure=_unlock_account)
def delete_account(job: Job, account: int, before: str) -> None:
    """Delete an account with everything it owns; ``before``: the state to go back to when that fails."""
    del before
    cleanup.run(job, account)
    job.finish("removed", lambda db: remove_account(db, account))


@workflow("account.delete-machines")
def delete_machines(job: Job, account: int) -> None:
    """Delete an account's machines, as a part of deleting its domain."""
    cleanup.run(job, account, last=cleanup.MACHINES)


def remove_account(db: Connection, account_id: int) -> None:
    """Remove an account that owns nothing any more, with its users, its memberships and the project that it is."""
    left = cleanup.remains(db, account_id)
    if left:
        raise InUse(f"the account still owns {', '.join(left)}; delete these first")
    changes.account_gone(db, account_id)
    moment = now()
    members = sa.select(user.c.id).where(user.c.account_id == account_id)
    db.execute(sa.delete(session).where(session.c.user_id.in_(members)))
    db.execute(
        sa.update(user)
        .where(user.c.account_id == account_id, user.c.removed.is_(None))
        .values(removed=moment, state="removed", api_key=None, secret_key=None, two_factor_key=None)
    )
    db.execute(sa.delete(ldap_link).where(ldap_link.c.account_id == account_id))
    change(db, account, account_id, state="removed", removed=moment)


def mark_domain(db: Connection, row: Row[Any], *, cleanup: bool) -> None:
    """Take the domain (and with ``cleanup`` all below it) out of use; without, it must be empty."""
    below = domain.c.path.startswith(row.path, autoescape=True) & domain.c.removed.is_(None)
    if not cleanup:
        children = db.execute(sa.select(sa.func.count()).select_from(domain).where(below)).scalar_one() - 1
        held = sa.select(sa.func.count()).select_from(account)
        accounts = db.execute(held.where(account.c.domain_id == row.id, account.c.removed.is_(None))).scalar_one()
        if children or accounts:
            raise InUse(
                f"the domain holds {accounts} accounts and {children} domains; delete these first or pass cleanup=true"
            )
    within = sa.select(account.c.id).where(account.c.domain_id.in_(sa.select(domain.c.id).where(below)))
    accounts_ = db.execute(within.where(account.c.removed.is_(None))).scalars().all()
    refuse_visited(db, accounts_, f"domain {row.name}")
    if not change(db, domain, row.id, expect={"state": "Active", "removed": None}, state="Inactive"):
        raise ConcurrentChange(f"domain {row.name} is being deleted already")
    db.execute(sa.update(domain).where(below).values(state="Inactive"))


def _revive_domain(job: Job, db: Connection, _error: JobFailed) -> None:
    row = one(db, domain, job.arguments["domain"])
    below = domain.c.path.startswith(row.path, autoescape=True) & domain.c.removed.is_(None)
    db.execute(sa.update(domain).where(below).values(state="Active"))


@workflow("domain.delete", on_failure=_revive_domain)
def delete_domain(job: Job, domain: int, cleanup: bool) -> None:
    """Delete a domain, with ``cleanup`` all accounts and domains in it first."""
    if cleanup:
        locked = job.commit("lock-accounts", lambda db: _lock_accounts(db, domain), undo="accounts.unlock")
        # Machines first, where they are in networks of one another: no network goes while a guest's machine is in it.
        for held in job.commit("visitors", lambda db: visitors(db, [held for held, _ in locked])):
            job.child(f"machines/{held}", delete_machines, key=f"account:{held}", arguments={"account": held})
        for held, before in locked:
            job.child(
                f"account/{held}",
                delete_account,
                key=f"account:{held}",
                arguments={"account": held, "before": before},
            )
    job.finish("removed", lambda db: _remove_domain(db, domain))


def _lock_accounts(db: Connection, domain_id: int) -> list[tuple[int, str]]:
    top = one(db, domain, domain_id)
    within = sa.select(domain.c.id).where(domain.c.path.startswith(top.path, autoescape=True))
    found = db.execute(
        sa.select(account.c.id, account.c.state)
        .where(account.c.domain_id.in_(within), account.c.removed.is_(None))
        .order_by(account.c.id)
    ).all()
    db.execute(sa.update(account).where(account.c.id.in_([row.id for row in found])).values(state="locked"))
    return [(row.id, row.state) for row in found]


@undo("accounts.unlock")
def unlock_accounts(job: Job, output: list[tuple[int, str]]) -> None:
    """Give the accounts that are still there the states back that they had."""

    def work(db: Connection) -> None:
        for held, before in output:
            change(db, account, held, expect={"state": "locked", "removed": None}, state=before)

    job.commit("unlock-accounts", work)


def _remove_domain(db: Connection, domain_id: int) -> None:
    top = one(db, domain, domain_id)
    below = domain.c.path.startswith(top.path, autoescape=True) & domain.c.removed.is_(None)
    ids = sa.select(domain.c.id).where(below)
    held = sa.select(sa.func.count()).select_from(account)
    count = db.execute(held.where(account.c.domain_id.in_(ids), account.c.removed.is_(None))).scalar_one()
    if count:
        raise InUse(f"the domain got {count} accounts meanwhile; delete these first")
    for table in (ldap_link, ldap_configuration):
        db.execute(sa.delete(table).where(table.c.domain_id.in_(ids)))
    domains_gone(db, list(db.execute(ids).scalars()))
    db.execute(sa.update(domain).where(below).values(removed=now()))


@workflow("account.disable")
def disable_account(job: Job, account: int, stop: bool) -> None:
    """Stop what a disabled account runs (``stop``), and show the account."""
    if stop:
        cleanup.pause(job, account)
    job.finish("disabled", lambda db: _account(db, account, admin=job.admin))


@workflow("account.default-zone")
def mark_default_zone(job: Job, account: int, zone: int) -> None:
    """Write an account's default zone."""

    def mark(db: Connection) -> dict[str, Any]:
        if not change(db, account_table, account, expect={"removed": None}, default_zone_id=zone):
            raise ConcurrentChange("the account was deleted meanwhile")
        return _account(db, account, admin=job.admin)

    job.finish("marked", mark)


def _account(db: Connection, account_id: int, *, admin: bool) -> dict[str, Any]:
    from pileus.identity import views

    return {"account": views.accounts(db, [one(db, account_table, account_id)], admin=admin)[0]}


@workflow("user.disable")
def disable_user(job: Job, user: int) -> None:
    """Disable a user and end the user's sessions."""

    def disable(db: Connection) -> dict[str, Any]:
        from pileus.identity import views

        if not change(db, user_table, user, expect={"removed": None}, state="disabled"):
            raise ConcurrentChange("the user was deleted meanwhile")
        db.execute(sa.delete(session).where(session.c.user_id == user))
        return {"user": views.users(db, [one(db, user_table, user)], admin=job.admin)[0]}

    job.finish("disabled", disable)
