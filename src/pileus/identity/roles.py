"""Roles: ordered rules, the first that matches a command's name decides, and what no rule names is denied.

A role's type is the upper bound: no rule opens a command to a type of role that the contract does not name for it.
The role Root Admin allows everything always, so that nobody can lock themselves out.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import commands, contract
from pileus.core.calls import ADMIN, DOMAIN_ADMIN, RESOURCE_ADMIN, USER, Caller
from pileus.core.database import new_uuid
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.services import Services
from pileus.identity.tables import role, role_permission

REMEMBERED = 1.0
"""Seconds for which a role's rules are remembered: a changed rule is in force at the latest then."""

ROOT_ADMIN = "Root Admin"
TYPES = (ADMIN, RESOURCE_ADMIN, DOMAIN_ADMIN, USER)
ALLOW, DENY = "allow", "deny"

_RULE = re.compile(r"[A-Za-z0-9*]{1,255}")

_SECRETS = ((DENY, "getUploadParamsFor*"), (DENY, "getUserKeys"))
_READING = tuple((ALLOW, rule) for rule in ("get*", "list*", "query*", "find*", "quotaIsEnabled", "quotaTariffList"))
_OWN_SIGN_IN = ("setupUserTwoFactorAuthentication", "validateUserTwoFactorAuthenticationCode")
"""The caller's own second factor: without it nobody could sign in where one is mandated."""

_SUPPORT_USER = (
    "attachIso",
    "attachVolume",
    "createConsoleEndpoint",
    "detachIso",
    "detachVolume",
    "rebootVirtualMachine",
    "startKubernetesCluster",
    "startVirtualMachine",
    "stopKubernetesCluster",
    "stopVirtualMachine",
)
"""Auxiliary operations on what is there: nothing that makes or destroys a resource."""

_SUPPORT_ADMIN = (
    "cancelHostMaintenance",
    "cancelStorageMaintenance",
    "createDiskOffering",
    "createNetworkOffering",
    "createServiceOffering",
    "createVPCOffering",
    "createVolume",
    "enableStorageMaintenance",
    "prepareHostForMaintenance",
    "registerIso",
    "registerTemplate",
    "uploadVolume",
)
"""Offerings, images and maintenance beside that: nothing that changes zones, hosts, networks or settings."""


def default_rules(name: str, type_: str) -> list[tuple[str, str]]:
    """Return the rules (permission, pattern) of a default role."""
    if name == ROOT_ADMIN:
        return [(ALLOW, "*")]
    if name.startswith(("Read-Only", "Support")):
        extra = _OWN_SIGN_IN
        if name.startswith("Support"):
            extra += _SUPPORT_USER + (_SUPPORT_ADMIN if type_ == ADMIN else ())
        return [*((ALLOW, rule) for rule in sorted(extra)), *_SECRETS, *_READING, (DENY, "*")]
    known = contract.load().commands
    return [(ALLOW, command) for command, wire in sorted(known.items()) if type_ in wire.roles]


def seed(db: Connection) -> None:
    """Write the rules of the default roles as this version has them; nobody else may change these."""
    for row in db.execute(sa.select(role).where(role.c.is_default)).all():
        wanted = default_rules(row.name, row.type)
        present = [(rule.permission, rule.rule) for rule in rules_of(db, row.id)]
        if present != wanted:
            db.execute(sa.delete(role_permission).where(role_permission.c.role_id == row.id))
            write_rules(db, row.id, ((permission, rule, None) for permission, rule in wanted))


def rules_of(db: Connection, role_id: int) -> Sequence[Row[Any]]:
    """Return the rules of a role in their order."""
    statement = sa.select(role_permission).where(role_permission.c.role_id == role_id)
    return db.execute(statement.order_by(role_permission.c.position, role_permission.c.id)).all()


def write_rules(db: Connection, role_id: int, rules: Iterable[tuple[str, str, str | None]]) -> None:
    """Write rules (permission, pattern, description) of a role that has none."""
    rows = [
        {
            "uuid": new_uuid(),
            "role_id": role_id,
            "permission": permission,
            "rule": rule,
            "description": text,
            "position": position,
        }
        for position, (permission, rule, text) in enumerate(rules)
    ]
    if rows:
        db.execute(sa.insert(role_permission), rows)


def check_rule(parameter: str, text: str) -> str:
    """Return the pattern when it is one: letters, digits and asterisks."""
    if not _RULE.fullmatch(text):
        raise InvalidParameter(
            f"parameter {parameter} must be the name of a command, with * for any part of it, not {text[:60]!r}"
        )
    return text


def check_permission(text: str) -> str:
    """Return allow or deny."""
    if text.lower() not in (ALLOW, DENY):
        raise InvalidParameter(f"parameter permission must be allow or deny, not {text[:60]!r}")
    return text.lower()


def decide(rules: Iterable[Any], names: Iterable[str], *, default: bool) -> frozenset[str]:
    """Return which commands an ordered list of rules (with ``rule`` and ``permission``) allows."""
    exact: dict[str, tuple[int, bool]] = {}
    patterns: list[tuple[int, re.Pattern[str], bool]] = []
    for position, row in enumerate(rules):
        text, allows = row.rule.lower(), row.permission == ALLOW
        if "*" in text:
            patterns.append((position, re.compile(".*".join(map(re.escape, re.split(r"\*+", text)))), allows))
        else:
            exact.setdefault(text, (position, allows))
    found: set[str] = set()
    for name in names:
        lowered = name.lower()
        position, allows = exact.get(lowered, (sys.maxsize, default))
        for at, pattern, verdict in patterns:
            if at > position:
                break
            if pattern.fullmatch(lowered):
                allows = verdict
                break
        if allows:
            found.add(name)
    return frozenset(found)


def commands_of(db: Connection, role_id: int) -> frozenset[str]:
    """Return the commands that a role allows, as the database has it now; a disabled role allows none."""
    row = db.execute(sa.select(role).where(role.c.id == role_id)).one()
    if row.state != "enabled" or row.removed is not None:
        return frozenset()
    bound = [name for name, spec in commands.commands().items() if row.type in spec.roles]
    if row.is_default and row.name == ROOT_ADMIN:
        return frozenset(bound)
    open_ = {name for name in bound if commands.commands()[name].wire.anonymous}
    return decide(rules_of(db, role_id), bound, default=False) | open_


def memory(services: Services) -> dict[int, tuple[float, frozenset[str]]]:
    """Return what this server remembers of roles."""
    return services.plugins.setdefault("identity.roles", {})


def forget(services: Services) -> None:
    """Read all rules again at the next call."""
    memory(services).clear()


def allowed(services: Services, role_id: int) -> frozenset[str]:
    """Return the commands that a role allows, at most a second old."""
    known = memory(services).get(role_id)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    with services.database.read() as db:
        found = commands_of(db, role_id)
    memory(services)[role_id] = (time.monotonic() + REMEMBERED, found)
    return found


def covers(db: Connection, caller: Caller, role_id: int) -> bool:
    """Tell whether the caller's role allows all that another one does."""
    if caller.role_id == role_id:
        return True
    own = db.execute(sa.select(role).where(role.c.id == caller.role_id)).one()
    if own.is_default and own.name == ROOT_ADMIN:
        return True
    return commands_of(db, role_id) <= commands_of(db, caller.role_id)


def refuse_escalation(db: Connection, caller: Caller, role_id: int) -> None:
    """Refuse a role that allows more than the caller's own."""
    if covers(db, caller, role_id):
        return
    more = sorted(commands_of(db, role_id) - commands_of(db, caller.role_id))
    raise PermissionDenied(
        f"the role would allow more than the role of {caller.account}: {', '.join(more[:3])}"
        + (f" and {len(more) - 3} other commands" if len(more) > 3 else "")
    )
