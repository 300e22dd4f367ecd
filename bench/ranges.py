"""How long a /16 of public addresses takes to be made and to be deleted: `name value unit bar`, one a line.

    .venv/bin/python bench/ranges.py [--postgres] [--rounds 3]

65,533 rows in the transaction of one call, while writers of SQLite wait for it.  The bar is for CPU: this whole
process's (on PostgreSQL the database's own work shows in the time only).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.cloud import Cloud
from tests.support.zones import simulated_zone

from bench._figures import finish, report
from bench.lists import database_url

BAR = 1.0
ADDRESSES = 65_533


def measure(cloud: Cloud, zone: dict[str, str]) -> tuple[list[float], list[float]]:
    """Make a range of a whole /16 and delete it; return time and CPU of either, in seconds."""
    begun, used = time.perf_counter(), time.process_time()
    made = cloud.api(
        "createVlanIpRange", zoneid=zone["zone"], physicalnetworkid=zone["physical"], vlan="untagged",
        gateway="198.18.0.1", netmask="255.255.0.0", startip="198.18.0.2", endip="198.18.255.254",
        forvirtualnetwork=True,
    )["vlan"]  # fmt: skip
    creating = [time.perf_counter() - begun, time.process_time() - used]
    count = cloud.api("listPublicIpAddresses", vlanid=made["id"], allocatedonly=False, page=1, pagesize=1)["count"]
    if count != ADDRESSES:
        raise RuntimeError(f"{count} addresses instead of {ADDRESSES}")
    begun, used = time.perf_counter(), time.process_time()
    cloud.api("deleteVlanIpRange", id=made["id"])
    return creating, [time.perf_counter() - begun, time.process_time() - used]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    kind = "-postgresql" if arguments.postgres else ""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(database_url(arguments.postgres))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pileus-bench-"))
        cloud = stack.enter_context(Cloud.start(Path(folder), database=url))
        zone = simulated_zone(cloud)
        found = [measure(cloud, zone) for _ in range(arguments.rounds)]
    # The best counts: other work on the machine only ever takes away.
    creating, deleting = (min(each[place] for each in found) for place in (0, 1))
    report(f"ranges-create-16{kind}", creating[0], "s")
    report(f"ranges-create-16{kind}-cpu", creating[1], "s", most=BAR)
    report(f"ranges-delete-16{kind}", deleting[0], "s")
    report(f"ranges-delete-16{kind}-cpu", deleting[1], "s")
    finish()


if __name__ == "__main__":
    main()
