"""Commands that share templates: with everybody, or with accounts and projects by name."""

from __future__ import annotations

from typing import Any

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.parameters import Ref
from pileus.identity import sharing
from pileus.identity.tables import domain
from pileus.images.tables import template, template_permission
from pileus.infrastructure import model

ADD, REMOVE, RESET = "add", "remove", "reset"


@command("updateTemplatePermissions", event="TEMPLATE.UPDATE")
class UpdateTemplatePermissions(Command):
    """Say who may use a template: everybody (ispublic), or the accounts and projects that are added or removed.

    op=reset takes the template back for its owner alone: not public, not featured, shared with nobody.
    """

    id: Ref
    op: str | None = None
    accounts: list[str] | None = None
    projectids: list[Ref] | None = None
    ispublic: bool | None = None
    isfeatured: bool | None = None
    isextractable: bool | None = None

    def check(self) -> None:
        """Check that accounts and an operation go together."""
        if self.op is not None:
            self.op = model.one_of("op", self.op, (ADD, REMOVE, RESET))
        if (self.accounts or self.projectids) and self.op not in (ADD, REMOVE):
            raise InvalidParameter("parameter op must be add or remove where accounts or projectids are named")
        if self.op in (ADD, REMOVE) and not (self.accounts or self.projectids):
            raise MissingParameter(f"parameter accounts or projectids is needed with op={self.op}")
        if self.op == RESET and (self.ispublic or self.isfeatured):
            raise InvalidParameter("parameters ispublic and isfeatured do not go together with op=reset")

    def run(self, call: Call) -> Success:
        """Change the flags that were passed and the permissions."""
        of = self.id
        for name in ("isfeatured", "isextractable"):
            if getattr(self, name) is not None and not call.caller.admin:
                raise PermissionDenied(f"parameter {name} is for root admins")
        passed = {
            "is_public": self.ispublic,
            "is_featured": self.isfeatured,
            "is_extractable": self.isextractable,
        }
        changes: dict[str, Any] = {column: value for column, value in passed.items() if value is not None}
        if self.op == RESET:
            sharing.revoke(call.db, template_permission, of.id)
            changes |= {"is_public": False, "is_featured": False}
        elif self.op is not None:
            named = sharing.named(call, of, names=self.accounts, projects=self.projectids)
            change = sharing.grant if self.op == ADD else sharing.revoke
            change(call.db, template_permission, of.id, named)
        if changes:
            database.change(call.db, template, of.id, **changes)
        call.describe(f"changed who may use template {of.name}", owner=of, resource=("Template", of.uuid))
        return Success()


@command("listTemplatePermissions", manage=("id",))
class ListTemplatePermissions(Command):
    """Tell with whom a template is shared: its owner and the admins are told."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        """Return the accounts by name, and the projects."""
        of = self.id
        holders = sharing.holders(call.db, template_permission, of.id)
        accounts = [row.name for row, _, project in holders if project is None]
        projects = [project.uuid for _, _, project in holders if project is not None]
        return {
            "id": of.uuid,
            "ispublic": of.is_public,
            "domainid": database.one(call.db, domain, of.domain_id).uuid if call.caller.admin else None,
            "account": accounts or None,
            "projectids": projects or None,
        }
