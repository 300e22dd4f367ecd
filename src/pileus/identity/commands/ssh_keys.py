"""Commands of SSH key pairs: what machines let in at their first start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import ssh_keys, store
from pileus.identity.tables import ssh_key_pair


def views(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return key pairs as clients see them: the private key is with whoever made it, and nowhere else."""
    owners = store.owners(db, rows)
    found: list[dict[str, Any]] = []
    for row in rows:
        of = {
            name: value
            for name, value in store.owner_fields(owners.get(row.account_id)).items()
            if name != "domainpath"
        }
        found.append({"id": row.uuid, "name": row.name, "fingerprint": row.fingerprint, **of})
    return found


class NewKeyPair(Command):
    """What making and registering a key pair have in common."""

    name: str
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None

    def check(self) -> None:
        """Check the name: machines list the names of theirs by commas."""
        if "," in self.name:
            raise InvalidParameter("parameter name may not have a comma in it")

    def keep(self, call: Call, public: str) -> dict[str, Any]:
        """Write the public key; a name and a key are an account's only once."""
        owner = store.owner(call, self.account, self.domainid, self.projectid)
        fingerprint = ssh_keys.fingerprint(public)
        c = ssh_key_pair.c
        taken = call.db.execute(
            sa.select(c.name).where(
                c.account_id == owner.account_id, sa.or_(c.name == self.name, c.fingerprint == fingerprint)
            )
        ).first()
        if taken is not None:
            what = "name" if taken.name == self.name else "publickey"
            raise InvalidParameter(f"parameter {what}: the account has this key pair already, as {taken.name!r}")
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            ssh_key_pair,
            uuid=uuid,
            name=self.name,
            account_id=owner.account_id,
            domain_id=owner.domain_id,
            public_key=public,
            fingerprint=fingerprint,
            created=database.now(),
        )
        call.describe(f"registered SSH key pair {self.name}", owner=owner, resource=("SSHKeyPair", uuid))
        return views(call.db, [database.one(call.db, ssh_key_pair, id_)])[0]


@command("createSSHKeyPair", event="REGISTER.SSH.KEYPAIR")
class CreateSSHKeyPair(NewKeyPair):
    """Make an SSH key pair; the private key is in this answer only."""

    def prepare(self, services: Any) -> None:
        """Make the keys, before any transaction: it takes a moment."""
        self._private, self._public = ssh_keys.make()

    def run(self, call: Call) -> dict[str, Any]:
        """Keep the public key."""
        return self.keep(call, self._public) | {"privatekey": self._private}


@command("registerSSHKeyPair", event="REGISTER.SSH.KEYPAIR")
class RegisterSSHKeyPair(NewKeyPair):
    """Register the public key of a key pair that was made elsewhere."""

    publickey: str

    def check(self) -> None:
        """Check the name and the key."""
        super().check()
        self.publickey = ssh_keys.public(self.publickey)

    def run(self, call: Call) -> dict[str, Any]:
        """Keep the public key."""
        return self.keep(call, self.publickey)


@command("deleteSSHKeyPair")
class DeleteSSHKeyPair(Command):
    """Delete a key pair; machines keep the public keys that they have."""

    name: str
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None

    def run(self, call: Call) -> Success:
        """Delete it."""
        owner = store.owner(call, self.account, self.domainid, self.projectid)
        c = ssh_key_pair.c
        gone = sa.delete(ssh_key_pair).where(c.account_id == owner.account_id, c.name == self.name)
        if not call.db.execute(gone).rowcount:
            raise InvalidParameter(f"parameter name: the account has no SSH key pair {self.name[:64]!r}")
        return Success()


@command("listSSHKeyPairs")
class ListSSHKeyPairs(OwnedListCommand):
    """List key pairs."""

    id: Ref | None = None
    name: str | None = None
    fingerprint: str | None = None

    def query(self, call: Call) -> Query:
        """Return the key pairs that match."""
        c = ssh_key_pair.c
        query = Query(ssh_key_pair).equals(c.id, self.id).equals(c.name, self.name)
        query.equals(c.fingerprint, self.fingerprint).contains(self.keyword, c.name, c.fingerprint)
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the key pairs."""
        return views(call.db, rows)
