"""Commands of what a machine finds at its start: other SSH keys, its user data."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.compute import access, model, workflows
from pileus.compute.commands.machines import expect, submit
from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.jobs import Job, workflow
from pileus.core.parameters import Ref
from pileus.identity import store
from pileus.network import nics as network_nics
from pileus.network.tables import nic


@workflow("machine.reset-keys")
def reset_keys(job: Job, machine: int, public_keys: list[str], key_pairs: str | None) -> None:
    """Give a stopped machine other SSH keys; its routers tell it of them at its next start."""
    job.finish("keys", lambda db: _reset(db, machine, public_keys, key_pairs, admin=job.admin))


def _reset(db: Connection, id_: int, public_keys: list[str], key_pairs: str | None, *, admin: bool) -> dict[str, Any]:
    changes = {"public_keys": public_keys, "key_pairs": key_pairs, "updated": database.now()}
    if not database.change(db, machine, id_, expect={"state": model.STOPPED}, **changes):
        raise InvalidParameter("the virtual machine is no longer Stopped; its SSH keys stay as they were")
    plugged = sa.select(nic.c.network_id).where(nic.c.machine_id == id_, nic.c.removed.is_(None))
    for network_id in db.execute(plugged).scalars().all():
        network_nics.desire_router(db, network_id)
    return workflows.shown(db, id_, admin=admin)


@command("resetSSHKeyForVirtualMachine", event="VM.RESETSSHKEY")
class ResetSSHKeyForVirtualMachine(Command):
    """Give a stopped machine other SSH key pairs instead of those that it has."""

    id: Ref
    keypair: str | None = None
    keypairs: list[str] = []
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None

    def check(self) -> None:
        """Check that a key pair is named."""
        if not self.keypair and not self.keypairs:
            raise MissingParameter("parameter keypair or keypairs is needed")

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        expect(call, row, (model.STOPPED,), "given other SSH keys")
        owner: Row[Any] = row
        if self.account is not None or self.projectid is not None:
            owner = store.owner(call, self.account, self.domainid, self.projectid)
            if owner.account_id != row.account_id:
                raise InvalidParameter("parameter account: the virtual machine is not of that account")
        columns = access.keys(call, owner, self.keypair, self.keypairs)
        call.describe(f"reset SSH keys of virtual machine {row.display_name or row.name}")
        return submit(call, row, reset_keys, **columns)


@command("getVirtualMachineUserData")
class GetVirtualMachineUserData(Command):
    """Return the user data (base64) that a machine finds at its start."""

    virtualmachineid: Ref

    def run(self, call: Call) -> dict[str, Any]:
        """Return it."""
        return {"virtualmachineid": self.virtualmachineid.uuid, "userdata": self.virtualmachineid.user_data or ""}
