"""What this cloud can do, for clients that adapt to it."""

from __future__ import annotations

from typing import Any

from pileus.core import settings
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.rendering import API_VERSION
from pileus.core.sizes import LARGEST_DISK, SMALLEST_DISK

PAGE = settings.declare("default.ui.page.size", int, 20, "Rows of a page that the web interface shows")


@command("listCapabilities")
class ListCapabilities(Command):
    """Tell what this cloud can do."""

    def run(self, call: Call) -> dict[str, Any]:
        read = call.services.settings.get
        return {
            "cloudstackversion": API_VERSION,
            "securitygroupsenabled": False,
            "userpublictemplateenabled": _flag(call, "allow.public.user.templates", True),
            "supportELB": "false",
            "projectinviterequired": False,
            "allowusercreateprojects": False,
            "customdiskofferingminsize": read(SMALLEST_DISK),
            "customdiskofferingmaxsize": read(LARGEST_DISK),
            "regionsecondaryenabled": False,
            "kvmsnapshotenabled": False,
            "allowuserviewdestroyedvm": _flag(call, "allow.user.view.destroyed.vm", False),
            "allowuserexpungerecovervm": _flag(call, "allow.user.expunge.recover.vm", False),
            "allowuserexpungerecovervolume": _flag(call, "allow.user.expunge.recover.volume", False),
            "allowuserforcestopvm": _flag(call, "allow.user.force.stop.vm", True),
            "allowuserviewalldomainaccounts": False,
            "additionalconfigenabled": False,
            "dynamicrolesenabled": False,
            "dynamicscalingenabled": False,
            "instanceleaseenabled": False,
            "kubernetesserviceenabled": False,
            "kubernetesclusterexperimentalfeaturesenabled": False,
            "defaultuipagesize": read(PAGE),
        }


def _flag(call: Call, name: str, otherwise: bool) -> bool:
    """Return a setting that a later slice declares, or what holds where none does."""
    declared = settings.declared().get(name)
    return otherwise if declared is None else bool(call.services.settings.get(declared))
