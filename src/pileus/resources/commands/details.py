"""Commands of details: free settings of objects."""

from __future__ import annotations

from typing import Any

from pileus.compute import model, options
from pileus.core import instant, listing
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.listing import OwnedListCommand, page_of
from pileus.resources import details, kinds

LONGEST_KEY, LONGEST_VALUE = 255, 5120

_OPTIONS: dict[str, dict[str, list[str]]] = {
    "UserVm": {"cpuNumber": [], "cpuSpeed": [], "memory": []},
    "Template": {},
}
"""The details that this server acts on, with the values that are allowed ([] = numbers)."""


@command("addResourceDetail", event="CREATE_RESOURCE_DETAILS")
class AddResourceDetail(Command):
    """Set details of an object; fordisplay=false hides them from everybody but root admins."""

    resourcetype: str
    resourceid: str
    details: dict[str, str]
    fordisplay: bool = True

    def check(self) -> None:
        """Check the lengths."""
        for key, value in self.details.items():
            if not key or len(key) > LONGEST_KEY or len(value) > LONGEST_VALUE:
                raise InvalidParameter(
                    f"parameter details: keys have 1 to {LONGEST_KEY} characters, values at most {LONGEST_VALUE}"
                )

    def run(self, call: Call) -> Any:
        """Write the details."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        if kind.name == "UserVm":
            _check_machine(self.details)
        row = kinds.find(call, kind, self.resourceid, parameter="resourceid", manage=True)
        details.add(call.db, kind, row, self.details, display=self.fordisplay)
        call.describe(f"setting details {', '.join(self.details)} of {kind.name} {row.uuid}")
        return instant.submit(call, {"success": True}, instance=(kind.name, row.uuid))


def _check_machine(given: dict[str, str]) -> None:
    """Check the details that machines start with, as the commands do that set them for machines."""
    options.chosen(model.keyboard(given, None))
    sized = [key for key in given if key.lower() in ("cpunumber", "cpuspeed", "memory")]
    if sized:
        raise InvalidParameter(f"parameter details: {', '.join(sized)} cannot be changed in this way")


@command("removeResourceDetail", event="DELETE_RESOURCE_DETAILS")
class RemoveResourceDetail(Command):
    """Remove a detail of an object, or all of them."""

    resourcetype: str
    resourceid: str
    key: str | None = None

    def run(self, call: Call) -> Any:
        """Remove it."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        row = kinds.find(call, kind, self.resourceid, parameter="resourceid", manage=True)
        if not details.remove(call.db, kind, row, self.key) and self.key is not None:
            raise InvalidParameter(f"parameter key: the object has no detail {self.key[:64]!r}")
        call.describe(f"removing details of {kind.name} {row.uuid}")
        return instant.submit(call, {"success": True}, instance=(kind.name, row.uuid))


@command("listResourceDetails")
class ListResourceDetails(OwnedListCommand):
    """List the details of objects of one kind that the caller may see."""

    resourcetype: str
    resourceid: str | None = None
    key: str | None = None
    value: str | None = None
    fordisplay: bool | None = None

    def run(self, call: Call) -> Any:
        """Return the details that match."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        shown = True if not call.caller.admin else self.fordisplay
        found = [
            entry
            for entry in details.of(call.db, kind, self._conditions(call, kind))
            if (shown is None or entry["fordisplay"] == shown)
            and self.key in (None, entry["key"])
            and self.value in (None, entry["value"])
            and (not self.keyword or self.keyword.lower() in entry["key"].lower())
        ]
        return page_of(found, self.page, self.pagesize)

    def _conditions(self, call: Call, kind: kinds.Kind) -> list[Any]:
        conditions = kind.living()
        if self.resourceid is not None:
            row = kinds.find(call, kind, self.resourceid, parameter="resourceid", manage=False)
            return [*conditions, kind.table.c.id == row.id]
        if "account_id" in kind.table.c and "domain_id" in kind.table.c:
            return conditions + listing.scope(
                call.db,
                call.caller,
                kind.table,
                account=self.account,
                domain=self.domainid,
                project=self.projectid,
                recursive=self.isrecursive,
                listall=self.listall,
            )
        if not call.caller.admin:
            raise PermissionDenied(f"parameter resourceid is needed: all of {kind.name} are for root admins to list")
        return conditions


@command("listDetailOptions")
class ListDetailOptions(Command):
    """List the details that this server acts on, for a kind of object."""

    resourcetype: str
    resourceid: str | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Return the options; those of an object that is named are those of its kind."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        if self.resourceid is not None:
            kinds.find(call, kind, self.resourceid, parameter="resourceid", manage=False)
        return {"details": _OPTIONS.get(kind.name, {})}
