"""CNI configurations: kept like user data, but apart from it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.cloud import Cloud, Person, Refused

TEXT = base64.b64encode(b"apiVersion: v1").decode()


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: Any) -> str:
    with pytest.raises(Refused) as caught:
        cloud.api(command, caller, **parameters)
    return caught.value.text


def test_configurations_are_kept_listed_and_deleted(cloud: Cloud) -> None:
    made = cloud.api("registerCniConfiguration", cloud.user, name="calico", cniconfig=TEXT, params="as,peer")[
        "cniconfig"
    ]
    assert (made["name"], made["userdata"], made["params"], made["account"]) == ("calico", TEXT, "as,peer", "user")
    assert [each["id"] for each in cloud.list("listCniConfiguration", cloud.user)] == [made["id"]]
    assert cloud.list("listUserData", cloud.user) == cloud.list("listCniConfiguration", cloud.other, listall=True) == []
    assert [each["name"] for each in cloud.list("listCniConfiguration", listall=True, keyword="ali")] == ["calico"]
    data = cloud.api("registerUserData", cloud.user, name="plain", userdata=TEXT)["userdata"]
    assert "CNI" in refused(cloud, "deleteUserData", cloud.user, id=made["id"])
    assert "user data" in refused(cloud, "deleteCniConfiguration", cloud.user, id=data["id"])
    assert "permission" in refused(cloud, "deleteCniConfiguration", cloud.other, id=made["id"])
    assert cloud.api("deleteCniConfiguration", cloud.user, id=made["id"])["success"]
    assert cloud.list("listCniConfiguration", cloud.user) == []


def test_what_is_refused(cloud: Cloud) -> None:
    cloud.api("registerCniConfiguration", name="a", cniconfig=TEXT)
    assert "already" in refused(cloud, "registerCniConfiguration", name="a", cniconfig=TEXT)
    assert "cniconfig" in refused(cloud, "registerCniConfiguration", name="b")
    assert "cniconfig must be base64" in refused(cloud, "registerCniConfiguration", name="b", cniconfig="?")
    assert "params" in refused(cloud, "registerCniConfiguration", name="b", cniconfig=TEXT, params="1 2")
    kept: dict[str, Any] = {"account": "user", "domainid": cloud.user.account["domainid"]}
    assert (
        cloud.api("registerCniConfiguration", name="theirs", cniconfig=TEXT, **kept)["cniconfig"]["account"] == "user"
    )
    assert refused(cloud, "registerCniConfiguration", cloud.other, name="x", cniconfig=TEXT, **kept)
