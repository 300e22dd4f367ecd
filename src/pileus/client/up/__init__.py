"""`pileus up`: from an empty folder to a cloud with a machine that answers, and back to that after anything.

Every object of the cloud is made through the public API, found by its name first: a second run changes nothing.
"""

from __future__ import annotations

from pileus.client.progress import Steps
from pileus.client.up import hosts, machine, network, storage, zone
from pileus.client.up.plan import UpOptions, prepare
from pileus.client.up.services import start_agent, start_server
from pileus.client.up.site import Site
from pileus.client.up.summary import Outcome

__all__ = ["Outcome", "UpOptions", "bring_up"]


def bring_up(options: UpOptions, steps: Steps) -> Outcome:
    """Make, start or repair the cloud of a data folder, and say what there is."""
    with steps.step("data folder and settings"):
        folder, cloud = prepare(options)
    template = storage.built_in_template(cloud, steps)
    with steps.step("management server"):
        api, first_time = start_server(folder, cloud)
    site = Site(folder=folder, cloud=cloud, api=api)
    if not cloud.simulator:
        with steps.step("agent of this host, enrolled over mutual TLS"):
            start_agent(site)
    with steps.step("zone, physical network, traffic types, ranges"):
        zone.make(site)
    with steps.step("cluster and hosts"):
        hosts.make(site)
    with steps.step("primary storage and image store"):
        storage.make(site)
        zone.enable(site)
    with steps.step("template registered and downloaded"):
        storage.register(site, template)
    with steps.step("guest network"):
        network.make(site)
    if not cloud.simulator:
        with steps.step("first machine and its virtual router"):
            machine.make(site)
        with steps.step("public address, firewall rule, port forwarding"):
            network.publish(site)
        with steps.step("page fetched through the public address"):
            network.fetch_page(site)
    return Outcome(site=site, first_time=first_time, steps=list(steps.done))
