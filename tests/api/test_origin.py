"""Where requests come from: proxies that are believed, and accounts that may call from some networks only."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import PASSWORD, Cloud, Person, Refused, signed

LIST = "api.allowed.source.cidr.list"
PEER = "127.0.0.1"  # what httpx's ASGI transport says


def put(cloud: Cloud, name: str, value: str, **scope: Any) -> None:
    cloud.api("updateConfiguration", name=name, value=value, **scope)
    cloud.services.settings.expire()


def code(cloud: Cloud, person: Person, **headers: str) -> int:
    asked = signed({"command": "listZones", "response": "json"}, person)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return cloud.send("GET", params=asked, headers=sent).status_code


def test_an_account_calls_from_its_networks_only(cloud: Cloud) -> None:
    person = cloud.user
    put(cloud, LIST, "192.0.2.0/24", accountid=person.account["id"])
    with pytest.raises(Refused, match=f"may not call from {PEER}") as caught:
        cloud.list("listZones", person)
    assert caught.value.code == 401
    assert cloud.list("listZones", cloud.other) == []
    log_in = {"username": "user", "password": PASSWORD, "domain": "tests"}
    with pytest.raises(Refused, match=f"from {PEER}") as caught:
        cloud.api("login", person, **log_in)
    assert caught.value.code == 531
    put(cloud, "api.source.cidr.checks.enabled", "false")
    assert cloud.list("listZones", person) == []
    put(cloud, "api.source.cidr.checks.enabled", "true")
    put(cloud, LIST, f"192.0.2.0/24,{PEER}/32", accountid=person.account["id"])
    assert cloud.list("listZones", person) == []
    assert cloud.api("login", person, **log_in)["username"] == "user"


def test_a_proxy_is_believed_when_it_is_one_of_ours(cloud: Cloud) -> None:
    person = cloud.user
    put(cloud, LIST, "192.0.2.0/24", accountid=person.account["id"])
    assert code(cloud, person, X_Forwarded_For="192.0.2.7") == 401  # nobody's word is taken by default
    put(cloud, "proxy.header.verify", "true")
    assert code(cloud, person, X_Forwarded_For="192.0.2.7") == 401
    put(cloud, "proxy.cidr", "10.9.0.0/16")
    assert code(cloud, person, X_Forwarded_For="192.0.2.7") == 401
    put(cloud, "proxy.cidr", f"10.9.0.0/16, {PEER}/32")
    assert code(cloud, person, X_Forwarded_For="192.0.2.7") == 200
    assert code(cloud, person, X_Forwarded_For="192.0.2.7, 10.9.1.1") == 200  # through a second proxy of ours
    assert code(cloud, person, X_Forwarded_For="192.0.2.7, 198.51.100.1") == 401  # the left part is the client's own
    assert code(cloud, person, X_Real_IP="192.0.2.7") == 401
    put(cloud, "proxy.header.names", "X-Real-IP")
    assert code(cloud, person, X_Real_IP="192.0.2.7", X_Forwarded_For="198.51.100.1") == 200
    assert code(cloud, person, X_Real_IP="unknown") == 401


@pytest.mark.parametrize("believed", [True, False])
def test_cookies_are_secure_behind_an_encrypting_proxy(cloud: Cloud, believed: bool) -> None:
    put(cloud, "proxy.header.verify", "true")
    put(cloud, "proxy.cidr", PEER if believed else "192.0.2.1")
    asked = {"command": "login", "username": "admin", "password": cloud.password, "response": "json"}
    answer = cloud.send("POST", data=asked, headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 200
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all(("Secure" in cookie) is believed for cookie in cookies)


def test_the_lists_are_of_networks(cloud: Cloud) -> None:
    for name in (LIST, "proxy.cidr"):
        with pytest.raises(Refused, match="must be networks"):
            put(cloud, name, "everywhere")
    with pytest.raises(Refused, match="must name a network"):
        put(cloud, LIST, " , ")
