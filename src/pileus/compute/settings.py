"""Settings of compute, under CloudStack's names."""

from __future__ import annotations

from pileus.core.settings import declare
from pileus.scheduling import planners

EXPUNGE_DELAY = declare(
    "expunge.delay", int, 86_400, "seconds that a destroyed machine can still be recovered", minimum=0
)
EXPUNGE_INTERVAL = declare(
    "expunge.interval", int, 86_400, "seconds between the searches for machines to expunge", minimum=1
)
PASSWORD_LENGTH = declare("vm.password.length", int, 12, "characters of generated passwords", minimum=6, maximum=64)
FORCE_STOP = declare("vm.destroy.forcestop", bool, False, "power machines off at once when they are destroyed")
STOP_SECONDS = declare(
    "vm.stop.timeout", int, 30, "seconds that a guest has to shut down before its power is cut", minimum=1, maximum=600
)
VIEW_DESTROYED = declare(
    "allow.user.view.destroyed.vm",
    bool,
    False,
    "users see machines that they have destroyed",
    scopes=("global", "domain", "account"),
)
USER_EXPUNGE = declare("allow.user.expunge.recover.vm", bool, False, "users may expunge and recover their machines")
DEPLOY_TRIES = declare(
    "vm.deploy.tries", int, 5, "hosts that are tried for a machine before it fails", minimum=1, maximum=20
)
PLANNER = declare(
    "vm.deployment.planner",
    str,
    planners.FIRST_FIT,
    "which planner chooses the hosts of machines whose service offering names none",
    options=planners.NAMES,
)
LEASES = declare(
    "instance.lease.enabled",
    bool,
    False,
    "machines may have a lease that ends by itself; switched off, the leases that there are end without effect",
)
LEASE_WARNING = declare(
    "instance.lease.expiryevent.daysbefore",
    int,
    7,
    "days before a lease ends from which on an event a day tells of it",
    minimum=0,
)
MOST_CPUS = declare(
    "vm.serviceoffering.cpu.cores.max", int, 0, "cores of a service offering, at most (0 = any)", minimum=0
)
MOST_MEMORY = declare(
    "vm.serviceoffering.ram.size.max", int, 0, "MiB of a service offering, at most (0 = any)", minimum=0
)
EXTRA_CONFIG = declare(
    "enable.additional.vm.configuration",
    bool,
    False,
    "machines of an account may have elements of the hypervisor's configuration added (extraconfig)",
    scopes=("global", "account"),
    root_only=True,
)
EXTRA_ELEMENTS = declare(
    "allow.additional.vm.configuration.list.kvm",
    str,
    "",
    "elements of libvirt's domain XML that extraconfig may have, by commas, such as memoryBacking,cpu",
    scopes=("global", "account"),
    root_only=True,
)
