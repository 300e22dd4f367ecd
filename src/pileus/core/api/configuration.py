"""Settings as operators see and change them: those that something in this server reads, and no others."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import settings, settings_groups
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.listing import ListCommand, page_of
from pileus.core.parameters import Ref
from pileus.core.settings import Setting
from pileus.core.tables import setting

_SCOPES = {
    "zoneid": ("zone", "Zone"),
    "clusterid": ("cluster", "Cluster"),
    "storageid": ("pool", "StoragePool"),
    "domainid": ("domain", "Domain"),
    "accountid": ("account", "Account"),
    "imagestoreuuid": ("imagestore", "ImageStore"),
    "imagestoreid": ("imagestore", "ImageStore"),
}
"""Parameter -> (scope, as clients write it)."""

_SHOWN = {"global": "Global", **dict(_SCOPES.values())}
_TYPES = {bool: "Boolean", int: "Number", float: "Decimal", str: "String"}


class Scope(msgspec.Struct, frozen=True):
    """Where a value holds: everywhere, or for one object."""

    name: str = "global"
    id: int = 0


class Scoped(Command):
    """What the commands of settings have in common: the object that a value is for."""

    zoneid: Ref | None = None
    clusterid: Ref | None = None
    storageid: Ref | None = None
    domainid: Ref | None = None
    accountid: Ref | None = None

    def scope(self, call: Call) -> Scope:
        """Return the scope, checked: at most one object, and everybody but root admins their own domains."""
        given = [(name, row) for name in _SCOPES if (row := getattr(self, name, None)) is not None]
        if len(given) > 1:
            raise InvalidParameter(f"parameters {' and '.join(name for name, _ in given)} exclude each other")
        if not given:
            if not call.caller.admin:
                raise PermissionDenied("parameter domainid or accountid is needed: other settings are for root admins")
            return Scope()
        name, row = given[0]
        if not call.caller.admin and name not in ("domainid", "accountid"):
            raise PermissionDenied(f"settings by parameter {name} are for root admins")
        return Scope(_SCOPES[name][0], row.id)


def stored(db: Connection, scope: Scope) -> dict[str, str]:
    """Return the stored values that hold in a scope by name: its own before the global ones."""
    rows = db.execute(
        sa.select(setting).where(
            sa.or_(
                sa.and_(setting.c.scope == "global", setting.c.scope_id == 0),
                sa.and_(setting.c.scope == scope.name, setting.c.scope_id == scope.id),
            )
        )
    ).all()
    found = {row.name: row.value for row in rows if row.scope == "global"}
    return found | {row.name: row.value for row in rows if row.scope == scope.name}


def view(handle: Setting[Any], values: dict[str, str]) -> dict[str, Any]:
    """Return a setting as clients see it; the value of a secure one is not shown."""
    group, subgroup = settings_groups.of(handle.name)
    default = settings.text_of(handle.default)
    return {
        "name": handle.name,
        "value": None if handle.secure else values.get(handle.name, default),
        "defaultvalue": None if handle.secure else default,
        "description": handle.description,
        "displaytext": " ".join(word.capitalize() for word in handle.name.split(".")),
        "category": "Secure" if handle.secure else "Advanced",
        "component": "management-server",
        "group": group,
        "subgroup": subgroup,
        "scope": ",".join(_SHOWN[name] for name in handle.scopes),
        "type": "Select" if handle.options else _TYPES[handle.type],
        "options": ",".join(handle.options) or None,
        "isdynamic": True,
    }


def known(name: str, scope: Scope) -> Setting[Any]:
    """Return a setting by its name, if it can have a value in the scope."""
    handle = settings.declared().get(name.strip())
    if handle is None:
        raise InvalidParameter(f"parameter name: there is no setting {name[:64]!r}; listConfigurations has them all")
    if scope.name not in handle.scopes:
        shown = ", ".join(_SHOWN[each] for each in handle.scopes)
        raise InvalidParameter(f"setting {handle.name} has no value for a {_SHOWN[scope.name]}; only: {shown}")
    return handle


def changeable(call: Call, name: str, scope: Scope) -> Setting[Any]:
    """Return a setting that the caller may change in the scope."""
    handle = known(name, scope)
    if handle.root_only and not call.caller.admin:
        raise PermissionDenied(f"setting {handle.name} is changed by root admins only")
    return handle


@command("listConfigurations")
class ListConfigurations(Scoped, ListCommand):
    """List the settings, with the values that hold for an object when one is named."""

    imagestoreuuid: Ref | None = None
    name: str | None = None
    category: str | None = None
    group: str | None = None
    subgroup: str | None = None
    parent: str | None = None

    def run(self, call: Call) -> Any:
        """Return the settings that match."""
        scope = self.scope(call)
        values = stored(call.db, scope)
        found = [
            shown
            for name, handle in sorted(settings.declared().items())
            if scope.name in handle.scopes and self._wanted(shown := view(handle, values), name)
        ]
        return page_of(found, self.page, self.pagesize)

    def _wanted(self, shown: dict[str, Any], name: str) -> bool:
        if self.name is not None and self.name.strip().lower() != name.lower():
            return False
        if self.parent is not None:
            return False  # no setting belongs to another here
        if self.keyword and self.keyword.lower() not in f"{name} {shown['description']}".lower():
            return False
        asked = (("category", self.category), ("group", self.group), ("subgroup", self.subgroup))
        return all(text is None or text.strip().lower() == shown[field].lower() for field, text in asked)


@command("updateConfiguration", event="CONFIGURATION.VALUE.EDIT", manage=("domainid", "accountid"))
class UpdateConfiguration(Scoped):
    """Change a setting, everywhere or for one object; it holds from the next second on."""

    name: str
    value: str | None = None
    imagestoreuuid: Ref | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Check the value and store it."""
        scope = self.scope(call)
        handle = changeable(call, self.name, scope)
        if self.value is not None:
            try:
                text = settings.checked(handle, self.value)
            except ValueError as error:
                given = "" if handle.secure else f", not {self.value[:60]!r}"
                raise InvalidParameter(f"parameter value: {handle.name} {error}{given}") from None
            write(call, handle, scope, call.services.secrets.encrypt(text) if handle.secure and text else text)
        call.describe(f"changed setting {handle.name}" + (f" of a {scope.name}" if scope.id else ""))
        return view(handle, stored(call.db, scope))


@command("resetConfiguration", event="CONFIGURATION.VALUE.EDIT", manage=("domainid", "accountid"))
class ResetConfiguration(Scoped):
    """Give a setting its default again, or for one object the value that holds everywhere."""

    name: str
    imagestoreid: Ref | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Delete the stored value."""
        scope = self.scope(call)
        handle = changeable(call, self.name, scope)
        write(call, handle, scope, None)
        call.describe(f"reset setting {handle.name}" + (f" of a {scope.name}" if scope.id else ""))
        return view(handle, stored(call.db, scope))


def write(call: Call, handle: Setting[Any], scope: Scope, text: str | None) -> None:
    """Store a value (None: delete it) and let this server read it at once."""
    key = sa.and_(setting.c.name == handle.name, setting.c.scope == scope.name, setting.c.scope_id == scope.id)
    call.db.execute(sa.delete(setting).where(key))
    if text is not None:
        call.db.execute(sa.insert(setting).values(name=handle.name, scope=scope.name, scope_id=scope.id, value=text))
    after_commit(call.db, call.services.settings.expire)


@command("listConfigurationGroups")
class ListConfigurationGroups(ListCommand):
    """List the groups of settings that have any, with their subgroups."""

    group: str | None = None

    def run(self, call: Call) -> Any:
        """Return the groups."""
        used = {settings_groups.of(name) for name in settings.declared()}
        found: list[dict[str, Any]] = []
        for place, (name, (text, subgroups)) in enumerate(settings_groups.GROUPS.items(), 1):
            inner = [
                {"name": subgroup, "precedence": number}
                for number, subgroup in enumerate(subgroups, 1)
                if (name, subgroup) in used
            ]
            wanted = self.group is None or self.group.strip().lower() == name.lower()
            if inner and wanted and (not self.keyword or self.keyword.lower() in name.lower()):
                found.append({"name": name, "description": text, "precedence": place, "subgroup": inner})
        return page_of(found, self.page, self.pagesize)
