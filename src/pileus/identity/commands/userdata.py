"""Commands of user data that accounts keep for their machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import store, userdata
from pileus.identity.tables import user_data


def views(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return user data as clients see it."""
    owners = store.owners(db, rows)
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "userdata": row.data,
            "params": row.params,
            "accountid": owners[row.account_id][0].uuid if row.account_id in owners else None,
            **store.owner_fields(owners.get(row.account_id)),
        }
        for row in rows
    ]


class Registering(Command):
    """Base: keep a text for later, with the names of the variables in it."""

    cni: ClassVar[bool] = False

    name: str
    params: str | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None

    def check(self) -> None:
        """Check the names of variables."""
        self.params = userdata.params(self.params)

    def text(self, call: Call) -> str:
        """Return what is to be kept, in base64."""
        raise NotImplementedError

    def run(self, call: Call) -> dict[str, Any]:
        """Write it; an account has a name only once."""
        owner = store.owner(call, self.account, self.domainid, self.projectid)
        data, what = self.text(call), _what(cni=self.cni)
        c = user_data.c
        if call.db.execute(sa.select(c.id).where(c.account_id == owner.account_id, c.name == self.name)).first():
            raise InvalidParameter(f"parameter name: the account has {what} {self.name[:64]!r} already")
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            user_data,
            uuid=uuid,
            name=self.name,
            account_id=owner.account_id,
            domain_id=owner.domain_id,
            data=data,
            params=self.params,
            cni=self.cni,
            created=database.now(),
        )
        call.describe(f"registered {what} {self.name}", owner=owner, resource=("UserData", uuid))
        return views(call.db, [database.one(call.db, user_data, id_)])[0]


def _what(*, cni: bool) -> str:
    return "the CNI configuration" if cni else "user data"


@command("registerUserData", event="REGISTER.USER.DATA")
class RegisterUserData(Registering):
    """Keep user data for machines, with the names of the variables in it."""

    userdata: str

    def text(self, call: Call) -> str:
        """Return the user data."""
        return userdata.checked(self.userdata, call.services.settings.get(userdata.LONGEST))


@command("deleteUserData", manage=("id",))
class DeleteUserData(Command):
    """Delete user data that no machine and no template uses."""

    cni: ClassVar[bool] = False

    id: Ref
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None

    def run(self, call: Call) -> Success:
        """Delete it."""
        if self.id.cni != self.cni:
            raise InvalidParameter(f"parameter id names {_what(cni=self.id.cni)}, not {_what(cni=self.cni)}")
        if self.account is not None or self.projectid is not None:
            owner = store.owner(call, self.account, self.domainid, self.projectid)
            if owner.account_id != self.id.account_id:
                raise InvalidParameter(f"parameter id: {_what(cni=self.cni)} {self.id.name} is not of that account")
        used = userdata.users(call.db, self.id.id)
        if used:
            raise InUse(f"user data {self.id.name} is used by {'; '.join(used)}", uuids=((self.id.uuid, "id"),))
        call.db.execute(sa.delete(user_data).where(user_data.c.id == self.id.id))
        return Success()


@command("listUserData")
class ListUserData(OwnedListCommand):
    """List user data."""

    cni: ClassVar[bool] = False

    id: Ref | None = None
    name: str | None = None

    def query(self, call: Call) -> Query:
        """Return the user data that match."""
        c = user_data.c
        query = (
            Query(user_data)
            .where(c.cni.is_(self.cni))
            .equals(c.id, self.id)
            .equals(c.name, self.name)
            .contains(self.keyword, c.name)
        )
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the user data."""
        return views(call.db, rows)
