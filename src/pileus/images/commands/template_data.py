"""linkUserDataToTemplate."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.identity import userdata
from pileus.images import views
from pileus.images.tables import template, template_copy


@command("linkUserDataToTemplate", manage=("templateid", "isoid"))
class LinkUserDataToTemplate(Command):
    """Give machines of a template user data to begin with; without userdataid they have none any more."""

    templateid: Ref | None = None
    isoid: Ref | None = None
    userdataid: Ref | None = None
    userdatapolicy: str = userdata.ALLOW

    def check(self) -> None:
        """Check the policy, and that one image is named."""
        self.userdatapolicy = self.userdatapolicy.strip().upper()
        if self.userdatapolicy not in userdata.POLICIES:
            raise InvalidParameter(f"parameter userdatapolicy must be one of {', '.join(userdata.POLICIES)}")
        if (self.templateid is None) == (self.isoid is None):
            raise InvalidParameter("one of parameters templateid and isoid is needed")

    def run(self, call: Call) -> dict[str, Any]:
        """Write the link."""
        row: Row[Any] = self.templateid if self.templateid is not None else self.isoid  # pyright: ignore[reportAssignmentType]
        linked = self.userdataid
        database.change(
            call.db,
            template,
            row.id,
            user_data_id=linked.id if linked is not None else None,
            user_data_policy=self.userdatapolicy if linked is not None else None,
        )
        copies = call.db.execute(
            sa.select(template_copy).where(template_copy.c.template_id == row.id).order_by(template_copy.c.id).limit(1)
        ).all()
        if not copies:
            raise InvalidParameter(f"template {row.name} is in no zone any more")
        return views.templates(call.db, copies, admin=call.caller.admin)[0]
