"""listApis and listCapabilities: what is said of the commands agrees with the contract and with the commands."""

from __future__ import annotations

import pytest

from pileus.core import commands, contract
from tests.support.cloud import Cloud, Refused


def test_every_command_is_described_as_the_contract_has_it(cloud: Cloud):
    known = contract.load()
    found = {api["name"]: api for api in cloud.list("listApis")}
    assert set(found) == set(commands.commands())
    for name, api in found.items():
        wire = known.commands[name]
        spec = commands.find(name)
        assert api["description"], name
        assert api["isasync"] == wire.is_async, name
        params = {p["name"]: p for p in api["params"]}
        expected = {p for p in wire.params if p.lower() not in spec.later} | (
            {"customjobid"} if wire.is_async else set()
        )
        assert set(params) == expected, name
        for key, param in params.items():
            if key in wire.params:
                assert param["type"] == wire.params[key].type, (name, key)
                assert param["required"] == wire.params[key].required, (name, key)
                assert isinstance(param["description"], str), (name, key)
        fields = {f["name"] for f in api["response"]}
        assert fields == set(known.objects.get(wire.documented_object or wire.object, {})), name


def test_objects_within_objects_are_described_one_level_down(cloud: Cloud):
    (api,) = cloud.list("listApis", name="LISTACCOUNTS")
    (users,) = [f for f in api["response"] if f["name"] == "user"]
    assert users["type"] == "list"
    assert {"id", "username"} <= {f["name"] for f in users["response"]}
    assert "createAccount" in api["related"].split(",")


def test_parameters_name_the_list_that_has_their_ids(cloud: Cloud):
    """CloudMonkey completes ids by it: the names of lists are not always those of the kinds."""
    for command, parameter, list_ in (
        ("startVirtualMachine", "id", "listVirtualMachines"),
        ("createFirewallRule", "ipaddressid", "listPublicIpAddresses"),
        ("registerTemplate", "ostypeid", "listOsTypes"),
        ("rebootRouter", "id", "listRouters"),
        ("deployVirtualMachine", "zoneid", "listZones"),
        ("deployVirtualMachine", "userdataid", "listUserData"),
    ):
        (api,) = cloud.list("listApis", name=command)
        (found,) = [param for param in api["params"] if param["name"] == parameter]
        assert found["related"].split(",")[0] == list_, command


def test_each_role_sees_what_it_may_call(cloud: Cloud):
    for person in (cloud.user, cloud.domain_admin, cloud.root):
        names = {api["name"] for api in cloud.list("listApis", person)}
        role = {"user": "User", "chief": "DomainAdmin"}.get(person.name, "Admin")
        assert names == {s.name for s in commands.commands().values() if role in s.roles}
    with pytest.raises(Refused) as refused:
        cloud.api("listApis", cloud.user, name="createDomain")
    assert refused.value.code == 431


def test_capabilities_are_one_object(cloud: Cloud):
    capability = cloud.api("listCapabilities", cloud.user)["capability"]
    assert capability["cloudstackversion"] == "4.22.1.0"
    assert capability["supportELB"] == "false"
    assert set(capability) <= set(contract.load().objects["CapabilitiesResponse"])


def test_what_is_answered_is_in_the_contract(cloud: Cloud):
    objects = contract.load().objects
    for command, object_ in (
        ("listDomains", "DomainResponse"),
        ("listAccounts", "AccountResponse"),
        ("listUsers", "UserResponse"),
        ("listEvents", "EventResponse"),
        ("listAsyncJobs", "AsyncJobResponse"),
    ):
        cloud.job("deleteDomain", id=cloud.api("createDomain", name=f"for-{command}")["domain"]["id"])
        for item in cloud.list(command, listall=True):
            assert set(item) <= set(objects[object_]), command
