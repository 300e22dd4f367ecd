"""Accounts whose deletion did not end well are told apart, until they are gone."""

from __future__ import annotations

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def names(cloud: Cloud, **more: object) -> set[str]:
    return {each["name"] for each in cloud.list("listAccounts", listall=True, **more)}


def test_accounts_that_need_cleaning_up_are_listed(cloud: Cloud) -> None:
    zone, user = simulated_zone(cloud, hosts=1), cloud.user
    everybody = names(cloud)
    machine(cloud, zone, isolated_network(cloud, zone, "n1", **user.own), "m1", **user.own)
    assert names(cloud, iscleanuprequired=True) == set()
    fault = cloud.config.fail("volume.delete", code="broken")
    with pytest.raises(Refused):
        cloud.job("deleteAccount", id=user.account["id"])
    assert names(cloud, iscleanuprequired=True) == {"user"}
    assert names(cloud, iscleanuprequired=False) == everybody - {"user"}
    assert names(cloud) == everybody
    cloud.config.remove(fault)
    cloud.job("deleteAccount", id=user.account["id"])
    assert names(cloud, iscleanuprequired=True) == set()
