"""`pileus up`: from an empty folder to a cloud with a machine that answers, and back to that after anything.

Every object of the cloud is made through the public API, found by its name first: a second run changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pileus.client.progress import Steps
from pileus.client.up import hosts, machine, network, storage, zone
from pileus.client.up.plan import UpOptions, prepare
from pileus.client.up.services import start_agent, start_server
from pileus.client.up.site import Site
from pileus.client.up.summary import Outcome

__all__ = ["Outcome", "UpOptions", "bring_up"]


def bring_up(options: UpOptions, steps: Steps) -> Outcome:
    """Make, start or repair the cloud of a data folder, and say what there is.

    The template is built while the server starts, and the agent starts while the zone is made.
    """
    with steps.step("data folder and settings"):
        folder, cloud = prepare(options)
    with ThreadPoolExecutor(2) as aside:
        template = aside.submit(storage.built_in_template, cloud)
        with steps.step("management server"):
            api, first_time = start_server(folder, cloud)
        site = Site(folder=folder, cloud=cloud, api=api)
        agent = aside.submit(start_agent, folder, cloud)
        with steps.step("zone, physical network, traffic types, ranges"):
            zone.make(site)
        with steps.step("built-in template and image store"):
            storage.register(site, template.result())
        with steps.step("cluster" if cloud.simulator else "agent of this host, enrolled over mutual TLS"):
            hosts.make_cluster(site)
            agent.result()
    with steps.step("hosts and primary storage"):
        hosts.make(site)
        storage.make_primary(site)
        zone.enable(site)
    with steps.step("template in the image store"):
        storage.wait_for_template(site)
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
