"""The port without credentials: whoever calls there is the cloud's own user `system`."""

from __future__ import annotations

from typing import Any

import httpx

from pileus.core import http
from tests.support.cloud import Cloud


def ask(cloud: Cloud, command: str, **parameters: Any) -> dict[str, Any]:
    app = http.integration_application(cloud.services)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            asked = {"command": command, "response": "json", **parameters}
            return await client.get("http://127.0.0.1:8096/client/api", params=asked)

    answer = cloud.run(send())
    assert answer.status_code == 200, answer.text
    (content,) = answer.json().values()
    return content


def test_the_caller_is_the_system_with_all_commands(cloud: Cloud) -> None:
    apis = ask(cloud, "listApis")["api"]
    assert {api["name"] for api in apis} == {api["name"] for api in cloud.list("listApis")}
    ask(cloud, "createDomain", name="made")
    (event,) = cloud.list("listEvents", type="DOMAIN.CREATE", listall=True)
    assert (event["account"], event["username"], event["domain"]) == ("system", "system", "ROOT")
    pair = ask(cloud, "createSSHKeyPair", name="k")["keypair"]
    assert (pair["account"], pair["domain"]) == ("system", "ROOT")
    assert cloud.list("listSSHKeyPairs", cloud.root) == [], "the admin is another account"


def test_jobs_and_their_events_are_the_systems(cloud: Cloud) -> None:
    zone = ask(
        cloud, "createZone", name="z", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53",
        guestcidraddress="10.1.1.0/24",
    )["zone"]  # fmt: skip
    job = ask(cloud, "createPhysicalNetwork", zoneid=zone["id"], name="p", isolationmethods="VXLAN")["jobid"]
    cloud.wait("createPhysicalNetwork", job)
    (shown,) = (each for each in cloud.list("listAsyncJobs", listall=True) if each["jobid"] == job)
    assert shown["account"] == "system"
    events = cloud.list("listEvents", type="PHYSICAL.NETWORK.CREATE", listall=True)
    assert {event["account"] for event in events} == {"system"}
    assert {event["state"] for event in events} >= {"Scheduled", "Completed"}


def test_networks_that_hold_callers_back_do_not_hold_the_port(cloud: Cloud) -> None:
    cloud.api("updateConfiguration", name="api.allowed.source.cidr.list", value="192.0.2.0/24")
    cloud.services.settings.expire()
    assert ask(cloud, "listZones") == {}
