"""Lists of what no table holds as rows: computed whole, then searched and paged like any other list."""

from __future__ import annotations

from typing import Any, ClassVar

from pileus.core.calls import Call, Listed
from pileus.core.listing import ListCommand


class ComputedList(ListCommand):
    """Base of list commands whose objects are computed; there are never many."""

    searched: ClassVar[str] = "name"
    """The field that a keyword is looked for in."""

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return all objects that match the filters, in a stable order."""
        raise NotImplementedError

    def run(self, call: Call) -> Listed:
        """Return the page that was asked for."""
        found = self.items(call)
        if self.keyword:
            part = self.keyword.lower()
            found = [item for item in found if part in str(item.get(self.searched, "")).lower()]
        if self.page is None or self.pagesize is None or self.pagesize == -1:
            return Listed(found, len(found))
        first = (self.page - 1) * self.pagesize
        return Listed(found[first : first + self.pagesize], len(found))
