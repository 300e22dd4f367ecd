"""The groups under which settings are shown, by what their names begin with."""

from __future__ import annotations

GROUPS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "Access": (
        "Identity, sign-in and accounts",
        {
            "Accounts": ("account.", "api.key.access", "allow.operations.on.users", "allow.user.view.all"),
            "Domains": ("domain.",),
            "Projects": ("project.", "allow.user.create.projects"),
            "Sign-in": (
                "session.",
                "login.",
                "incorrect.login",
                "user.",
                "mandate.user.2fa",
                "enable.user.2fa",
                "enable.secure.session",
                "password.",
            ),
            "LDAP": ("ldap.",),
            "API": (
                "api.",
                "enforce.post.",
                "json.",
                "default.page.size",
                "dynamic.apichecker",
                "integration.api",
                "proxy.",
            ),
        },
    ),
    "Compute": (
        "Virtual machines and their hosts",
        {
            "Virtual Machine": (
                "vm.",
                "expunge.",
                "expunged.",
                "allow.user.view.destroyed",
                "allow.user.expunge",
                "allow.user.force",
            ),
            "Service Offering": ("cpu.", "mem.", "custom.compute", "allow.domain.admins.to.create"),
            "Host": ("host", "ping.", "agent.", "cluster."),
            "High Availability": ("ha.",),
            "User Data": ("enable.additional", "userdata"),
        },
    ),
    "Storage": (
        "Primary storage, images, snapshots",
        {
            "Primary Storage": ("storage.", "pool.", "custom.diskoffering.", "allow.user.expunge.recover.volume"),
            "Images": ("max.template", "template.", "secstorage.", "image.", "allow.public.user.templates"),
            "Snapshots": ("snapshot.", "kvm.snapshot"),
        },
    ),
    "Network": (
        "Networks and routers",
        {
            "Network": ("network.", "guest.", "allow.non.rfc1918", "allow.", "vlan."),
            "Router": ("router.",),
        },
    ),
    "Limits": (
        "Resource limits and counts",
        {
            "Limits": ("max.", "resource."),
        },
    ),
    "Management Server": (
        "The management servers themselves",
        {
            "Alerts": ("alert.", "capacity."),
            "Events": ("event.",),
            "Jobs": ("job.", "async."),
            "Certificates": ("ca.",),
        },
    ),
    "Miscellaneous": ("Everything else", {"Others": ("",)}),
}
"""Group -> (description, subgroup -> beginnings of names)."""


def of(name: str) -> tuple[str, str]:
    """Return group and subgroup of a setting: the longest beginning that fits decides."""
    best = ("Miscellaneous", "Others", 0)
    for group, (_, subgroups) in GROUPS.items():
        for subgroup, beginnings in subgroups.items():
            for beginning in beginnings:
                if name.startswith(beginning) and len(beginning) > best[2]:
                    best = (group, subgroup, len(beginning))
    return best[0], best[1]
