"""Guest operating systems that a new cloud knows, under the names that CloudStack's clients look for."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import insert, new_uuid
from pileus.images.tables import os_category, os_type

_KNOWN: dict[str, tuple[str, ...]] = {
    "CentOS": ("CentOS 7", "CentOS 8", "CentOS Stream 9"),
    "Debian": (
        "Debian GNU/Linux 10 (64-bit)",
        "Debian GNU/Linux 11 (64-bit)",
        "Debian GNU/Linux 12 (64-bit)",
        "Other Debian (64-bit)",
    ),
    "Oracle": ("Oracle Linux 8", "Oracle Linux 9"),
    "RedHat": ("Red Hat Enterprise Linux 8.0", "Red Hat Enterprise Linux 9.0"),
    "SUSE": ("SUSE Linux Enterprise Server 12 (64-bit)", "SUSE Linux Enterprise Server 15 (64-bit)"),
    "Windows": (
        "Windows 10 (64-bit)",
        "Windows 11 (64-bit)",
        "Windows Server 2019 (64-bit)",
        "Windows Server 2022 (64-bit)",
    ),
    "Other": ("Other (64-bit)", "Other Linux (64-bit)", "Other PV (64-bit)", "None"),
    "Novel": ("Other Novell (64-bit)",),
    "Unix": ("FreeBSD 13 (64-bit)", "FreeBSD 14 (64-bit)"),
    "Ubuntu": ("Ubuntu 20.04 LTS", "Ubuntu 22.04 LTS", "Ubuntu 24.04 LTS", "Other Ubuntu (64-bit)"),
    "Fedora": ("Fedora Linux (64 bit)",),
}


def os_types(db: Connection) -> None:
    """Write the categories and types of a new cloud; nothing when there are some."""
    if db.execute(sa.select(os_category.c.id).limit(1)).first():
        return
    for name, types in _KNOWN.items():
        category = insert(db, os_category, uuid=new_uuid(), name=name)
        db.execute(sa.insert(os_type), [{"uuid": new_uuid(), "category_id": category, "name": t} for t in types])
