"""What an account keeps for its machines (SSH keys, user data) goes with the account."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.jobs import Job
from pileus.identity.tables import ssh_key_pair, user_data


def forget(job: Job, account_id: int) -> None:
    """Delete the key pairs and user data of an account."""

    def delete(db: Connection) -> None:
        for table in (ssh_key_pair, user_data):
            db.execute(sa.delete(table).where(table.c.account_id == account_id))

    job.commit("keepsakes", delete)
