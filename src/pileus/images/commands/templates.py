"""Commands of templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.engine import Row

from pileus.core import database, outbound
from pileus.core.calls import Call, Listed
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.jobs import Submission
from pileus.core.listing import ListCommand, Query, scope
from pileus.core.netlists import networks
from pileus.core.parameters import Ref, RefOrAll
from pileus.identity import sharing
from pileus.identity import store as identity
from pileus.identity.limits import checking
from pileus.identity.limits.types import Kind
from pileus.images import checksums, choosing, deletion, downloads, views
from pileus.images.tables import os_type, template, template_copy, template_permission
from pileus.infrastructure.tables import zone

FORMATS = ("QCOW2", "RAW")
HYPERVISORS = {"kvm": "KVM", "simulator": "Simulator"}
ALL_ZONES = "-1"


@command("registerTemplate", event="TEMPLATE.CREATE", ignored=("bits", "requireshvm", "isrouting"))
class RegisterTemplate(Command):
    """Register a template by its URL; it is downloaded into the image store of each zone that is named."""

    name: str
    format: str
    hypervisor: str
    url: str
    displaytext: str | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    arch: str | None = None
    checksum: str | None = None
    details: dict[str, str] | None = None
    directdownload: bool = False
    isdynamicallyscalable: bool = False
    isextractable: bool = False
    isfeatured: bool = False
    ispublic: bool = False
    ostypeid: Ref | None = None
    passwordenabled: bool = False
    sshkeyenabled: bool = False
    templatetag: str | None = None
    zoneid: str | None = None
    zoneids: list[str] | None = None

    def check(self) -> None:
        """Check the words, the URL's scheme and the checksum's form."""
        self.format = self.format.upper()
        if self.format not in FORMATS:
            raise InvalidParameter(f"parameter format must be one of {', '.join(FORMATS)}, not {self.format[:20]!r}")
        if self.hypervisor.lower() not in HYPERVISORS:
            names = ", ".join(HYPERVISORS.values())
            raise InvalidParameter(f"parameter hypervisor must be one of {names}, not {self.hypervisor[:20]!r}")
        self.hypervisor = HYPERVISORS[self.hypervisor.lower()]
        if (self.arch or "x86_64") != "x86_64":
            raise InvalidParameter("parameter arch must be x86_64")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https", "file") or (parts.scheme != "file" and not parts.hostname):
            raise InvalidParameter("parameter url must be http://, https:// or (for root admins) file:///")
        if self.checksum:
            checksums.parse(self.checksum)
        if self.directdownload:
            raise InvalidParameter("parameter directdownload: hosts fetch from image stores only; leave it out")
        if not self.zoneid and not self.zoneids:
            raise InvalidParameter("parameter zoneid or zoneids is needed (-1 for all zones)")

    def run(self, call: Call) -> Listed:
        """Record the template, and a download for each zone."""
        if urlsplit(self.url).scheme == "file":
            _check_local(call, self.url)
        else:
            _check_address(call, self.url)
        if self.isfeatured and not call.caller.admin:
            raise PermissionDenied("parameter isfeatured=true is for root admins")
        owner = identity.owner(call, self.account, self.domainid, self.projectid)
        zones = _zones(call, self.zoneids or [self.zoneid or ""])
        facts = {
            "name": self.name,
            "format": self.format,
            "hypervisorType": self.hypervisor,
            "templateType": "USER",
        }
        targets = [(row, choosing.for_template(call.db, row, owner, facts)) for row in zones]
        for row, store in targets:
            if store is None:
                raise InvalidParameter(f"parameter zoneid: zone {row.name} has no image store; add one first")
        checking.claim(call.db, owner.account_id, {Kind.TEMPLATES: 1})
        made = self._record(call, owner)
        copies = [downloads.begin(call, made, row, store) for row, store in targets if store is not None]
        call.describe(f"registered template {self.name}", owner=owner, resource=("Template", made.uuid))
        rows = call.db.execute(sa.select(template_copy).where(template_copy.c.id.in_(copies))).all()
        shown = views.templates(call.db, rows, admin=call.caller.admin)
        return Listed(shown, len(shown))

    def _record(self, call: Call, owner: Row[Any]) -> Row[Any]:
        id_ = database.insert(
            call.db,
            template,
            uuid=database.new_uuid(),
            name=self.name,
            display_text=self.displaytext or self.name,
            account_id=owner.account_id,
            domain_id=owner.domain_id,
            format=self.format,
            hypervisor=self.hypervisor,
            url=self.url,
            checksum=self.checksum,
            os_type_id=self.ostypeid.id if self.ostypeid is not None else _other(call),
            is_public=self.ispublic,
            is_featured=self.isfeatured,
            is_extractable=self.isextractable,
            password_enabled=self.passwordenabled,
            ssh_key_enabled=self.sshkeyenabled,
            requires_hvm=True,
            dynamically_scalable=self.isdynamicallyscalable,
            tag=self.templatetag,
            details=self.details or {},
            state="Active",
            created=database.now(),
        )
        return database.one(call.db, template, id_)


def _check_local(call: Call, url: str) -> None:
    """Let root admins register files of the built-in folder only: any other file of the server is not theirs."""
    if not call.caller.admin:
        raise PermissionDenied("parameter url: file:// is for root admins")
    allowed = Path(call.services.plugins["options"].builtin).resolve()
    file = Path(urlsplit(url).path).resolve()
    if not file.is_relative_to(allowed) or not file.is_file():
        raise InvalidParameter(f"parameter url: a file:// URL names a file below {allowed}; for others use http(s)://")


def _check_address(call: Call, url: str) -> None:
    """Refuse at once a URL that names an internal address; a name is resolved and checked by the download.

    Root admins may name any: they decide which are allowed, after all.
    """
    if call.caller.admin:
        return
    try:
        outbound.refuse_internal_literal(url, networks(call.services.settings.get(outbound.INTERNAL_SITES)))
    except outbound.RefusedAddressError as error:
        raise InvalidParameter(f"parameter url: {error}") from None


def _zones(call: Call, named: list[str]) -> list[Row[Any]]:
    from pileus.core import entities

    if ALL_ZONES in named:
        return list(call.db.execute(sa.select(zone).where(zone.c.removed.is_(None)).order_by(zone.c.id)).all())
    return [entities.resolve(call.db, call.caller, "Zone", text, parameter="zoneid") for text in dict.fromkeys(named)]


def _other(call: Call) -> int | None:
    return call.db.execute(sa.select(os_type.c.id).where(os_type.c.name == "Other Linux (64-bit)")).scalar()


_Filter = Callable[["ListTemplates", Call], list[ColumnElement[bool]]]


def _own(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    return scope(
        call.db,
        call.caller,
        template,
        account=self.account,
        domain=self.domainid,
        project=self.projectid,
        recursive=self.isrecursive,
        listall=self.listall,
    )


def _featured(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    return [template.c.is_public, template.c.is_featured]


def _community(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    return [template.c.is_public, sa.not_(template.c.is_featured)]


def _executable(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    mine = sa.and_(sa.true(), *_own(self, call))
    return [sa.or_(template.c.is_public, mine)]


def _shared(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    _own(self, call)  # refuses what the caller may not ask for
    accounts = sharing.asked(call, name=self.account, domain=self.domainid, project=self.projectid)
    return [template.c.id.in_(sharing.objects(call.db, template_permission, accounts))]


def _all(self: ListTemplates, call: Call) -> list[ColumnElement[bool]]:
    if call.caller.role == "User":
        raise PermissionDenied("parameter templatefilter=all is for admins")
    if call.caller.admin and self.account is None and self.domainid is None and self.projectid is None:
        return []
    return scope(
        call.db,
        call.caller,
        template,
        account=self.account,
        domain=self.domainid,
        project=self.projectid,
        recursive=self.isrecursive,
        listall=True,
    )


FILTERS: dict[str, _Filter] = {
    "featured": _featured,
    "self": _own,
    "selfexecutable": _own,
    "sharedexecutable": _shared,
    "shared": _shared,
    "executable": _executable,
    "community": _community,
    "all": _all,
}
_READY_ONLY = ("selfexecutable", "sharedexecutable", "executable")


@command("listTemplates", ignored=("details",))
class ListTemplates(ListCommand):
    """List templates: an object for each zone that a template is in, or with showunique=true one for each template."""

    templatefilter: str
    id: Ref | None = None
    ids: list[Ref] | None = None
    name: str | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: RefOrAll | None = None
    isrecursive: bool = False
    listall: bool = False
    zoneid: Ref | None = None
    hypervisor: str | None = None
    arch: str | None = None
    imagestoreid: Ref | None = None
    oscategoryid: Ref | None = None
    templatetype: str | None = None
    isready: bool | None = None
    showremoved: bool = False
    showunique: bool = False
    isvnf: bool | None = None
    forcks: bool | None = None

    def check(self) -> None:
        """Check the filter's name."""
        super().check()
        self.templatefilter = self.templatefilter.lower()
        if self.templatefilter not in FILTERS:
            raise InvalidParameter(f"parameter templatefilter must be one of {', '.join(FILTERS)}")

    def query(self, call: Call) -> Query:
        """Return the copies whose template matches."""
        copies = template_copy.c
        chosen = sa.select(template.c.id).where(*self._templates(call))
        query = Query(template_copy).where(copies.template_id.in_(chosen))
        query.uuid = sa.select(template.c.uuid).where(template.c.id == copies.template_id).scalar_subquery()
        query.equals(copies.zone_id, self.zoneid).equals(copies.store_id, self.imagestoreid)
        ready = True if self.templatefilter in _READY_ONLY and self.id is None else self.isready
        if ready is not None:
            query.where(copies.state == "Ready" if ready else copies.state != "Ready")
        if self.isvnf or self.forcks:
            query.where(sa.false())  # there are no such templates
        if self.showunique:
            first = (
                sa.select(sa.func.min(copies.id)).where(*query.conditions).group_by(copies.template_id).correlate(None)
            )
            query.where(copies.id.in_(first))
        return query

    def _templates(self, call: Call) -> list[ColumnElement[bool]]:
        columns = template.c
        inner = Query(template).equals(columns.id, self.id).equals(columns.id, self.ids)
        if self.showremoved and call.caller.admin:
            inner.conditions.clear()
            inner.equals(columns.id, self.id).equals(columns.id, self.ids)
        if self.id is None and not self.ids:  # a named template was checked for the caller already
            inner.where(*FILTERS[self.templatefilter](self, call))
        inner.same(columns.name, self.name).same(columns.hypervisor, self.hypervisor)
        inner.same(columns.architecture, self.arch).same(columns.type, self.templatetype)
        if self.oscategoryid is not None:
            types = sa.select(os_type.c.id).where(os_type.c.category_id == self.oscategoryid.id)
            inner.where(columns.os_type_id.in_(types))
        inner.where(columns.kind == "template")
        return inner.contains(self.keyword, columns.name, columns.display_text).conditions

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the templates."""
        return views.templates(call.db, rows, admin=call.caller.admin)


@command("deleteTemplate", event="TEMPLATE.DELETE")
class DeleteTemplate(Command):
    """Delete a template from a zone, or from all; machines made from it hold it back unless forced."""

    id: Ref
    zoneid: Ref | None = None
    forced: bool = False

    def run(self, call: Call) -> Submission:
        """Mark the copies and let a job remove the files."""
        deletion.mark(call.db, self.id, self.zoneid, forced=self.forced)
        call.describe(f"deleting template {self.id.name}")
        return call.submit(
            deletion.delete,
            key=f"template:{self.id.id}",
            instance=("Template", self.id.uuid),
            owner=self.id,
            template_id=self.id.id,
            zone_id=self.zoneid.id if self.zoneid is not None else None,
        )
