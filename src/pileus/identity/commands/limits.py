"""Resource limits and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Row

from pileus.core.calls import ADMIN, Call
from pileus.core.commands import Command, Listed, command
from pileus.core.database import insert, one
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import ListCommand
from pileus.core.parameters import Ref
from pileus.identity import store
from pileus.identity.limits import checking, counting, reading
from pileus.identity.limits.tables import resource_limit
from pileus.identity.limits.types import HOST_TAGS, KINDS, STORAGE_TAGS, UNLIMITED, Key, Kind, tagged, tags_of
from pileus.identity.tables import account, domain

log = structlog.get_logger(__name__)


def kind_of(number: int) -> Kind:
    """Return the kind that parameter resourcetype means."""
    if number not in list(Kind):
        names = ", ".join(f"{int(kind)} ({facts.name})" for kind, facts in KINDS.items())
        raise InvalidParameter(f"parameter resourcetype must be one of {names}, not {number}")
    return Kind(number)


def _owner_fields(call: Call, of: Row[Any] | None, within: Row[Any]) -> dict[str, Any]:
    project = store.project_of(call.db, of)
    return {
        "account": of.name if of is not None and project is None else None,
        "project": project.name if project is not None else None,
        "projectid": project.uuid if project is not None else None,
        "domainid": within.uuid,
        "domain": within.name,
        "domainpath": store.display_path(within.path),
    }


def _named(owner: Mapping[str, Any], key: Key) -> dict[str, Any]:
    kind, tag = key
    return {**owner, "resourcetype": str(int(kind)), "resourcetypename": KINDS[kind].name, "tag": tag or None}


def keys_of(call: Call, kinds: Sequence[Kind], tag: str | None) -> list[Key]:
    """Return what is meant by the kinds and parameter tag: without it the kinds, whole and by each tag."""
    by_tag = [key for key in tagged(call.services.settings, tag) if key[0] in kinds]
    if tag is not None:
        return by_tag
    return [(kind, "") for kind in kinds] + by_tag


@command("updateResourceLimit", event="RESOURCE.LIMIT.UPDATE", manage=["domainid"])
class UpdateResourceLimit(Command):
    """Set how much of a kind an account (account with domainid) or a domain (domainid) may have; -1 = unlimited.

    With tag: how much of what offerings with this host or storage tag give; the settings resource.limit.host.tags and
    resource.limit.storage.tags name the tags that have limits.
    """

    resourcetype: int
    max: int = UNLIMITED
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    tag: str | None = None

    def check(self) -> None:
        """Check the kind and the number."""
        self.kind = kind_of(self.resourcetype)
        if not UNLIMITED <= self.max < 1 << 40:
            raise InvalidParameter("parameter max must be 0 or more, or -1 for unlimited")
        if self.account is None and self.domainid is None and self.projectid is None:
            raise MissingParameter("parameter domainid, account or projectid is needed: whose limit shall it be")

    def run(self, call: Call) -> dict[str, Any]:
        key = self._key(call)
        if self.account is None and self.projectid is None and self.domainid is not None:
            of, within = None, self.domainid
            self._check_domain(call, within)
        else:
            of = store.owner(call, self.account, self.domainid, self.projectid)
            within = one(call.db, domain, of.domain_id)
            self._check_account(call, of)
        column = resource_limit.c.domain_id if of is None else resource_limit.c.account_id
        id_ = within.id if of is None else of.account_id
        same = sa.and_(column == id_, resource_limit.c.type == self.kind, resource_limit.c.tag == key[1])
        if not call.db.execute(sa.update(resource_limit).where(same).values(most=self.max)).rowcount:
            insert(call.db, resource_limit, **{column.key: id_}, type=int(self.kind), tag=key[1], most=self.max)
        owner = _owner_fields(call, of, within)
        whose = f"account {of.name}" if of is not None else f"domain {owner['domainpath']}"
        call.describe(
            f"setting the limit of {KINDS[self.kind].name}{f' with tag {key[1]}' if key[1] else ''} of {whose} "
            f"to {self.max}",
            resource=("Account", of.uuid) if of is not None else ("Domain", within.uuid),
        )
        return _named(owner, key) | {"max": self.max}

    def _key(self, call: Call) -> Key:
        known = tags_of(call.services.settings, self.kind)
        if self.tag is not None and self.tag not in known:
            raise InvalidParameter(
                f"parameter tag: {KINDS[self.kind].name} has no limits by tag {self.tag[:64]!r}; {HOST_TAGS.name} "
                f"names the tags of user_vm, cpu and memory, {STORAGE_TAGS.name} those of volume and primary_storage"
            )
        return self.kind, self.tag or ""

    def _check_account(self, call: Call, of: Row[Any]) -> None:
        if of.account_id == call.caller.account_id and not call.caller.admin:
            raise PermissionDenied("nobody may change the limits of the own account")
        if of.role_type == ADMIN and self.max != UNLIMITED:
            raise InvalidParameter("parameter max: the accounts of root admins are always unlimited (-1)")

    def _check_domain(self, call: Call, within: Row[Any]) -> None:
        if within.id == store.ROOT:
            raise PermissionDenied("the ROOT domain is always unlimited")
        if within.id == call.caller.domain_id and not call.caller.admin:
            raise PermissionDenied("nobody may change the limits of the own domain")
        above = one(call.db, domain, within.parent_id)
        key = self._key(call)
        most = reading.of_domains(call.db, [above], [key])[above.id][key]
        if most != UNLIMITED and (self.max == UNLIMITED or self.max > most):
            raise InvalidParameter(
                f"parameter max: domain {store.display_path(above.path)} above it may have {most} "
                f"{KINDS[self.kind].label} itself"
            )


@command("listResourceLimits", ignored=["listall", "isrecursive"])
class ListResourceLimits(ListCommand):
    """List the limits of an account (by default the caller's) or a domain: those that hold, set or by default."""

    id: int | None = None
    account: str | None = None
    domainid: Ref | None = None
    resourcetype: int | None = None
    resourcetypename: str | None = None
    projectid: Ref | None = None
    tag: str | None = None

    def check(self) -> None:
        """Check the page and the kind."""
        super().check()
        self.kinds = list(KINDS) if self.resourcetype is None else [kind_of(self.resourcetype)]
        if self.resourcetypename is not None:
            wanted = self.resourcetypename.lower()
            self.kinds = [kind for kind in self.kinds if KINDS[kind].name == wanted]
            if not self.kinds:
                raise InvalidParameter(
                    f"parameter resourcetypename must be one of {', '.join(facts.name for facts in KINDS.values())}"
                )

    def run(self, call: Call) -> Listed:
        """Return the limits of one owner."""
        keys = keys_of(call, self.kinds, self.tag)
        if self.account is None and self.projectid is None and self.domainid is not None:
            within = self.domainid
            if not store.manages_domain(call.db, call.caller, within):
                raise PermissionDenied(f"{call.caller.account} may not see the limits of the domain of domainid")
            owner, limits = _owner_fields(call, None, within), reading.of_domains(call.db, [within], keys)[within.id]
            column = resource_limit.c.domain_id == within.id
        else:
            of = store.owner(call, self.account, self.domainid, self.projectid)
            owner = _owner_fields(call, of, one(call.db, domain, of.domain_id))
            limits = reading.of_accounts(call.db, [of], keys)[of.id]
            column = resource_limit.c.account_id == of.id
        if self.id is not None:
            of_id = sa.select(resource_limit.c.type, resource_limit.c.tag)
            found = {
                (row.type, row.tag) for row in call.db.execute(of_id.where(column, resource_limit.c.id == self.id))
            }
            keys = [key for key in keys if (int(key[0]), key[1]) in found]
        keys = [key for key in keys if not self.keyword or self.keyword.lower() in KINDS[key[0]].name]
        items = [_named(owner, key) | {"max": limits[key]} for key in keys]
        return Listed(_page(items, self.page, self.pagesize), len(items))


def _page(items: Sequence[dict[str, Any]], page: int | None, pagesize: int | None) -> list[dict[str, Any]]:
    if page is None or pagesize is None or pagesize == -1:
        return list(items)
    return list(items[(page - 1) * pagesize : page * pagesize])


@command("updateResourceCount", manage=["domainid"])
class UpdateResourceCount(Command):
    """Count again what an account, or the accounts in a domain, have, and return it."""

    domainid: Ref
    account: str | None = None
    projectid: Ref | None = None
    resourcetype: int | None = None
    tag: str | None = None

    def check(self) -> None:
        """Check the kind."""
        self.kinds = list(KINDS) if self.resourcetype is None else [kind_of(self.resourcetype)]

    def run(self, call: Call) -> Listed:
        """Count; the counts are kept by the database itself, so a difference is a fault, and logged as one."""
        if self.account is not None or self.projectid is not None:
            within = None if self.projectid is not None else self.domainid
            of = store.owner(call, self.account, within, self.projectid)
            ids: list[int] = [of.account_id]
        else:
            of = None
            tree = sa.select(domain.c.id).where(domain.c.path.startswith(self.domainid.path, autoescape=True))
            ids = list(call.db.execute(sa.select(account.c.id).where(account.c.domain_id.in_(tree))).scalars())
        mended = counting.mend(call.db, ids)
        if mended:
            log.error("resource counts were wrong and are mended", counts=mended, domain=self.domainid.path)
        keys = keys_of(call, self.kinds, self.tag)
        if of is not None:
            counts = reading.counts_of_accounts(call.db, [of], keys)[of.id]
        else:
            counts = checking.in_domain(call.db, self.domainid.path, keys)
        owner = _owner_fields(call, of, self.domainid)
        items = [_named(owner, key) | {"resourcecount": counts.get(key, 0)} for key in keys]
        return Listed(items, len(items))
