"""What this cloud can do, for clients that adapt to it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core import entities, settings
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.rendering import API_VERSION
from pileus.core.sizes import LARGEST_DISK, SMALLEST_DISK

PAGE = settings.declare("default.ui.page.size", int, 20, "Rows of a page that the web interface shows", minimum=1)


@command("listCapabilities")
class ListCapabilities(Command):
    """Tell what this cloud can do."""

    def run(self, call: Call) -> dict[str, Any]:
        read = call.services.settings.get
        return {
            "cloudstackversion": API_VERSION,
            "securitygroupsenabled": _security_groups(call),
            "userpublictemplateenabled": _flag(call, "allow.public.user.templates", True),
            "supportELB": "false",
            "projectinviterequired": _flag(call, "project.invite.required", False),
            "allowusercreateprojects": _flag(call, "allow.user.create.projects", True),
            "customdiskofferingminsize": read(SMALLEST_DISK),
            "customdiskofferingmaxsize": read(LARGEST_DISK),
            "regionsecondaryenabled": False,
            "kvmsnapshotenabled": False,
            "allowuserviewdestroyedvm": _flag(call, "allow.user.view.destroyed.vm", False),
            "allowuserexpungerecovervm": _flag(call, "allow.user.expunge.recover.vm", False),
            "allowuserexpungerecovervolume": _flag(call, "allow.user.expunge.recover.volume", False),
            "allowuserforcestopvm": _flag(call, "allow.user.force.stop.vm", True),
            "allowuserviewalldomainaccounts": _flag(call, "allow.user.view.all.domain.accounts", False),
            "additionalconfigenabled": _flag(call, "enable.additional.vm.configuration", False),
            "dynamicrolesenabled": True,
            "dynamicscalingenabled": False,
            "instanceleaseenabled": _flag(call, "instance.lease.enabled", False),
            "kubernetesserviceenabled": False,
            "kubernetesclusterexperimentalfeaturesenabled": False,
            "defaultuipagesize": read(PAGE),
            **_rate(call),
        }


def _flag(call: Call, name: str, otherwise: bool) -> bool:
    """Return a setting as it holds for the caller, which a later slice declares, or what holds where none does."""
    return otherwise if name not in settings.declared() else bool(_value(call, name))


def _value(call: Call, name: str) -> Any:
    scopes = (("account", call.caller.account_id), ("domain", call.caller.domain_id))
    return call.services.settings.get(settings.declared()[name], *scopes)


def _security_groups(call: Call) -> bool:
    """Tell whether some zone has security groups."""
    zone = entities.known("Zone")
    if zone is None:
        return False
    c = zone.table.c
    return call.db.execute(sa.select(c.id).where(c.removed.is_(None), c.security_groups).limit(1)).first() is not None


def _rate(call: Call) -> dict[str, int]:
    """Return how often an account may call, where that is limited."""
    if not _flag(call, "api.throttling.enabled", False):
        return {}
    names = {"apilimitinterval": "api.throttling.interval", "apilimitmax": "api.throttling.max"}
    return {field: _value(call, name) for field, name in names.items()}
