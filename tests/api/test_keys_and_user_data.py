"""SSH key pairs and user data: kept by accounts, given to machines, told to guests."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from pileus.compute import guests
from pileus.network.tables import network as networks
from tests.api.test_zones import refused
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def public_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode() + " me@home"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def told(cloud: Cloud, network: str, name: str) -> Any:
    """Return what the network's router is told of a machine."""
    with cloud.services.database.read() as db:
        id_ = db.execute(sa.select(networks.c.id).where(networks.c.uuid == network)).scalar_one()
        found = guests.hosts(db, id_)
    return next(host for host in found if host.name == name)


def test_a_key_pair_is_made_and_its_private_key_told_once(cloud: Cloud) -> None:
    made = cloud.api("createSSHKeyPair", cloud.user, name="k1")["keypair"]
    private = serialization.load_pem_private_key(made["privatekey"].encode(), None)
    assert private.key_size == 2048
    assert len(made["fingerprint"].split(":")) == 16
    (shown,) = cloud.list("listSSHKeyPairs", cloud.user, name="k1")
    assert "privatekey" not in shown
    assert (shown["fingerprint"], shown["account"]) == (made["fingerprint"], "user")
    assert cloud.list("listSSHKeyPairs", cloud.other, listall=True) == []
    assert cloud.list("listSSHKeyPairs", cloud.user, fingerprint=made["fingerprint"]) == [shown]
    assert "already" in refused(cloud, "createSSHKeyPair", cloud.user, name="k1").text
    assert refused(cloud, "deleteSSHKeyPair", cloud.other, name="k1").code == 431
    cloud.api("deleteSSHKeyPair", cloud.user, name="k1")
    assert cloud.list("listSSHKeyPairs", cloud.user) == []


def test_a_public_key_is_registered(cloud: Cloud) -> None:
    line = public_key()
    made = cloud.api("registerSSHKeyPair", name="k2", publickey=line, **cloud.user.own)["keypair"]
    assert made["account"] == "user"
    assert "already" in refused(cloud, "registerSSHKeyPair", cloud.user, name="k3", publickey=line).text
    cloud.api("registerSSHKeyPair", cloud.other, name="k2", publickey=encoded(line))  # others may have it too
    for wrong in ("ssh-rsa AAAA", "hello", "ssh-dss " + line.split()[1]):
        assert "public key" in refused(cloud, "registerSSHKeyPair", name="x", publickey=wrong).text
    assert "comma" in refused(cloud, "registerSSHKeyPair", name="a,b", publickey=public_key()).text


def test_machines_let_key_pairs_in(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    lines = {name: public_key() for name in ("k1", "k2", "k3")}
    for name, line in lines.items():
        cloud.api("registerSSHKeyPair", cloud.user, name=name, publickey=line)
    vm = machine(cloud, zone, network, "m1", keypair="k1", keypairs="k2,k1", **cloud.user.own)
    assert vm["keypairs"] == "k1,k2"
    assert told(cloud, network, "m1").public_keys == [lines["k1"], lines["k2"]]
    assert [m["id"] for m in cloud.list("listVirtualMachines", cloud.user, keypair="k2")] == [vm["id"]]
    assert cloud.list("listVirtualMachines", cloud.user, keypair="k") == []
    assert "Stopped" in refused(cloud, "resetSSHKeyForVirtualMachine", cloud.user, id=vm["id"], keypair="k3").text
    cloud.job("stopVirtualMachine", cloud.user, id=vm["id"])
    assert "k9" in refused(cloud, "resetSSHKeyForVirtualMachine", cloud.user, id=vm["id"], keypair="k9").text
    shown = cloud.job("resetSSHKeyForVirtualMachine", cloud.user, id=vm["id"], keypair="k3")
    assert shown["keypairs"] == "k3"
    assert told(cloud, network, "m1").public_keys == [lines["k3"]]
    with pytest.raises(Exception, match="no SSH key pair"):
        machine(cloud, zone, isolated_network(cloud, zone, "n2"), "m2", keypair="k1")  # the admin's account has none


def test_user_data_of_the_catalogue(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    text = encoded("#cloud-config\nhostname: {{ ds.meta_data.where }}\n")
    made = cloud.api("registerUserData", cloud.user, name="web", userdata=text, params="where,what")["userdata"]
    assert (made["userdata"], made["params"], made["account"]) == (text, "where,what", "user")
    assert "already" in refused(cloud, "registerUserData", cloud.user, name="web", userdata=text).text
    assert "base64" in refused(cloud, "registerUserData", cloud.user, name="x", userdata="?").text
    assert cloud.list("listUserData", cloud.other, listall=True) == []
    vm = machine(
        cloud, zone, network, "m1", userdataid=made["id"], userdatadetails={"where": "cellar"}, **cloud.user.own
    )
    assert (vm["userdataid"], vm["userdataname"], vm["userdatadetails"]) == (made["id"], "web", "where=cellar")
    guest = told(cloud, network, "m1")
    assert guest.user_data == text
    assert guest.metadata["where"] == "cellar"
    answer = cloud.api("getVirtualMachineUserData", cloud.user, virtualmachineid=vm["id"])["virtualmachineuserdata"]
    assert answer["userdata"] == text
    assert "used by machine m1" in refused(cloud, "deleteUserData", cloud.user, id=made["id"]).text
    assert [m["id"] for m in cloud.list("listVirtualMachines", cloud.user, userdataid=made["id"])] == [vm["id"]]
    with pytest.raises(Exception, match="no variable"):
        machine(cloud, zone, network, "m2", userdataid=made["id"], userdatadetails={"x": "y"}, **cloud.user.own)
    cloud.api("updateVirtualMachine", cloud.user, id=vm["id"], userdata=encoded("#!/bin/sh"))
    assert told(cloud, network, "m1").user_data == encoded("#!/bin/sh")
    cloud.api("deleteUserData", cloud.user, id=made["id"])
    assert cloud.list("listUserData", cloud.user) == []


def test_user_data_of_templates(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    first, own = encoded("#cloud-config\nhostname: a\n"), encoded("#!/bin/sh\necho own\n")
    data = cloud.api("registerUserData", name="base", userdata=first)["userdata"]

    def link(policy: str) -> dict[str, Any]:
        answer = cloud.api(
            "linkUserDataToTemplate", templateid=zone["template"], userdataid=data["id"], userdatapolicy=policy
        )
        return answer["template"]

    shown = link("denyoverride")
    assert (shown["userdataname"], shown["userdatapolicy"]) == ("base", "DENYOVERRIDE")
    vm = machine(cloud, zone, network, "m1")
    assert (vm["userdataid"], vm["userdatapolicy"]) == (data["id"], "DENYOVERRIDE")
    assert told(cloud, network, "m1").user_data == first
    with pytest.raises(Exception, match="DENYOVERRIDE"):
        machine(cloud, zone, network, "m2", userdata=own)
    link("ALLOWOVERRIDE")
    machine(cloud, zone, network, "m3", userdata=own)
    assert told(cloud, network, "m3").user_data == own
    link("APPEND")
    machine(cloud, zone, network, "m4", userdata=own)
    both = base64.b64decode(told(cloud, network, "m4").user_data).decode()
    assert "multipart/mixed" in both
    assert "text/cloud-config" in both
    assert "text/x-shellscript" in both
    assert "template tiny" in refused(cloud, "deleteUserData", id=data["id"]).text
    cloud.api("linkUserDataToTemplate", templateid=zone["template"])
    assert "userdataid" not in cloud.list("listTemplates", templatefilter="all")[0]


def test_what_an_account_keeps_goes_with_it(cloud: Cloud) -> None:
    cloud.api("createSSHKeyPair", cloud.user, name="k1")
    cloud.api("registerUserData", cloud.user, name="u1", userdata=encoded("x"))
    cloud.job("deleteAccount", id=cloud.user.account["id"])
    assert cloud.list("listSSHKeyPairs", listall=True) == cloud.list("listUserData", listall=True) == []
