"""The kinds of resource that are limited, and the settings that hold their defaults."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from pileus.core.settings import Setting, Settings, declare

UNLIMITED = -1
GIB = 1 << 30


class Kind(IntEnum):
    """CloudStack's number of each kind."""

    MACHINES = 0
    ADDRESSES = 1
    VOLUMES = 2
    SNAPSHOTS = 3
    TEMPLATES = 4
    PROJECTS = 5
    NETWORKS = 6
    VPCS = 7
    CPUS = 8
    MEMORY = 9
    PRIMARY_STORAGE = 10
    SECONDARY_STORAGE = 11
    BACKUPS = 12
    BACKUP_STORAGE = 13
    BUCKETS = 14
    OBJECT_STORAGE = 15
    GPUS = 16


BY_HOST_TAG = (Kind.MACHINES, Kind.CPUS, Kind.MEMORY)
BY_STORAGE_TAG = (Kind.VOLUMES, Kind.PRIMARY_STORAGE)

Key = tuple[Kind, str]
"""What is counted and limited: a kind, of all ("") or of what an offering with this host or storage tag gave."""

HOST_TAGS = declare(
    "resource.limit.host.tags", str, "", "host tags by which machines, cores and memory have limits of their own (a,b)"
)
STORAGE_TAGS = declare(
    "resource.limit.storage.tags",
    str,
    "",
    "storage tags by which volumes and their sizes have limits of their own (a,b)",
)
RUNNING_ONLY = declare(
    "resource.count.running.vms.only", bool, False, "only machines that run count for machines, cores and memory"
)


class Facts(msgspec.Struct, frozen=True):
    """What there is to know of a kind."""

    name: str  # resourcetypename
    field: str  # prefix of <field>limit, <field>total, <field>available
    label: str  # for people
    unit: int  # how many counted units the API's unit has
    account: Setting[int]
    domain: Setting[int]
    project: Setting[int] | None


def _facts(
    name: str, field: str, label: str, setting: str, *, most: tuple[int, int], unit: int = 1, project: bool = True
) -> Facts:
    def default(owner: str, most: int) -> Setting[int]:
        text = f"{label} that {owner} may have unless its own limit says otherwise; -1 = unlimited"
        return declare(f"max.{owner.split()[1]}.{setting}", int, most, text, minimum=-1)

    return Facts(
        name=name,
        field=field,
        label=label,
        unit=unit,
        account=default("an account", most[0]),
        domain=default("a domain", most[1]),
        project=default("a project", most[0]) if project else None,
    )


KINDS: dict[Kind, Facts] = {
    Kind.MACHINES: _facts("user_vm", "vm", "virtual machines", "user.vms", most=(20, 40)),
    Kind.ADDRESSES: _facts("public_ip", "ip", "public addresses", "public.ips", most=(20, 40)),
    Kind.VOLUMES: _facts("volume", "volume", "volumes", "volumes", most=(20, 40)),
    Kind.SNAPSHOTS: _facts("snapshot", "snapshot", "snapshots", "snapshots", most=(20, 40)),
    Kind.TEMPLATES: _facts("template", "template", "templates and ISOs", "templates", most=(20, 40)),
    Kind.PROJECTS: _facts("project", "project", "projects", "projects", most=(10, 50), project=False),
    Kind.NETWORKS: _facts("network", "network", "networks", "networks", most=(20, 40)),
    Kind.VPCS: _facts("vpc", "vpc", "VPCs", "vpcs", most=(20, 40)),
    Kind.CPUS: _facts("cpu", "cpu", "CPU cores", "cpus", most=(40, 80)),
    Kind.MEMORY: _facts("memory", "memory", "MiB of memory", "memory", most=(40960, 81920)),
    Kind.PRIMARY_STORAGE: _facts(
        "primary_storage", "primarystorage", "GiB of primary storage", "primary.storage", most=(200, 400), unit=GIB
    ),
    Kind.SECONDARY_STORAGE: _facts(
        "secondary_storage",
        "secondarystorage",
        "GiB of secondary storage",
        "secondary.storage",
        most=(400, 800),
        unit=GIB,
    ),
    Kind.BACKUPS: _facts("backup", "backup", "backups", "backups", most=(20, 40)),
    Kind.BACKUP_STORAGE: _facts(
        "backup_storage", "backupstorage", "GiB of backup storage", "backup.storage", most=(400, 800), unit=GIB
    ),
    Kind.BUCKETS: _facts("bucket", "bucket", "buckets", "buckets", most=(20, 20)),
    Kind.OBJECT_STORAGE: _facts(
        "object_storage", "objectstorage", "GiB of object storage", "object.storage", most=(400, 400), unit=GIB
    ),
    Kind.GPUS: _facts("gpu", "gpu", "GPUs", "gpus", most=(20, 20)),
}


def tags_of(settings: Settings, kind: Kind) -> tuple[str, ...]:
    """Return the tags by which a kind has limits of its own, in their order."""
    if kind not in BY_HOST_TAG and kind not in BY_STORAGE_TAG:
        return ()
    text = settings.get(HOST_TAGS if kind in BY_HOST_TAG else STORAGE_TAGS)
    return tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def tagged(settings: Settings, tag: str | None = None) -> list[Key]:
    """Return all keys with a tag (``tag``: with this one)."""
    keys = [(kind, each) for kind in (*BY_HOST_TAG, *BY_STORAGE_TAG) for each in tags_of(settings, kind)]
    return [key for key in keys if tag is None or key[1] == tag]
