"""Templates through the API: what is refused at registration, and what holds a deletion back."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest

from pileus.compute import audit
from pileus.images.formats import ImageRefused, inspect
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone

SIZE = 1 << 30


def qcow2(file: Path, *, backing: bool = False, features: int = 0) -> Path:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 1024 if backing else 0, 9 if backing else 0, 16, SIZE)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(4096))
    return file


def test_machines_hold_their_template_back(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    made = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "web1")
    with pytest.raises(Refused, match="used by the virtual machines web1") as caught:
        cloud.api("deleteTemplate", id=zone["template"])
    assert caught.value.code == 536
    assert cloud.job("deleteTemplate", id=zone["template"], forced=True) == {"success": True}
    assert cloud.list("listTemplates", templatefilter="all") == []
    assert cloud.list("listVirtualMachines", id=made["id"])[0]["state"] == "Running"


def register(cloud: Cloud, zone: dict[str, str], file: Path, **more: Any) -> dict[str, Any]:
    asked = {"name": "t", "displaytext": "t", "format": "QCOW2", "hypervisor": "Simulator", "zoneid": zone["zone"]}
    return cloud.api("registerTemplate", **asked | {"url": f"file://{file}"} | more)["template"][0]


def directory_zone(cloud: Cloud, tmp_path: Path) -> dict[str, str]:
    zone = simulated_zone(cloud, hosts=1)
    (store,) = cloud.list("listImageStores")
    cloud.job("deleteTemplate", id=zone["template"])
    cloud.api("deleteImageStore", id=store["id"])
    cloud.api("addImageStore", name="files", provider="directory", zoneid=zone["zone"], url=f"file://{tmp_path}/store")
    return zone


def shown(cloud: Cloud, id_: str) -> dict[str, Any]:
    return cloud.list("listTemplates", templatefilter="all", id=id_)[0]


def test_a_download_is_checked_and_becomes_ready(cloud: Cloud, tmp_path: Path) -> None:
    zone = directory_zone(cloud, tmp_path)
    file = qcow2(cloud.options.builtin / "good.qcow2")
    digest = hashlib.sha512(file.read_bytes()).hexdigest()
    made = register(cloud, zone, file, checksum=f"{{SHA-512}}{digest}")
    until(lambda: shown(cloud, made["id"])["isready"], 10)
    found = shown(cloud, made["id"])
    assert (found["size"], found["status"]) == (SIZE, "Download Complete")
    stored = tmp_path / "store" / "templates" / f"{made['id']}.qcow2"
    assert stored.read_bytes() == file.read_bytes()
    cloud.job("deleteTemplate", id=made["id"])
    assert not stored.exists()


@pytest.mark.parametrize(
    ("image", "checksum", "why"),
    [
        ({}, "{MD5}" + "0" * 32, "parameter checksum says"),
        ({"backing": True}, None, "backing file"),
        ({"features": 4}, None, "keeps its data in another file"),
    ],
)
def test_a_bad_image_never_becomes_ready(
    cloud: Cloud, tmp_path: Path, image: dict[str, Any], checksum: str | None, why: str
) -> None:
    zone = directory_zone(cloud, tmp_path)
    made = register(cloud, zone, qcow2(cloud.options.builtin / "bad.qcow2", **image), checksum=checksum)
    until(lambda: why in shown(cloud, made["id"]).get("status", ""), 10)
    assert shown(cloud, made["id"])["isready"] is False
    assert list((tmp_path / "store" / "templates").iterdir()) == []


def test_what_cannot_be_registered_is_said_at_once(cloud: Cloud, tmp_path: Path) -> None:
    zone = directory_zone(cloud, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("not a template")
    for more, what in (
        ({"url": f"file://{secret}"}, "parameter url"),
        ({"url": "ftp://example.org/x"}, "parameter url"),
        ({"format": "VHD"}, "parameter format"),
        ({"checksum": "xyz"}, "parameter checksum"),
        ({"directdownload": True}, "parameter directdownload"),
        ({"hypervisor": "Bochs"}, "parameter hypervisor"),
    ):
        with pytest.raises(Refused, match=what) as caught:
            register(cloud, zone, secret, **more)
        assert caught.value.code == 431
    with pytest.raises(Refused) as caught:
        cloud.api(
            "registerTemplate", cloud.user, name="t", displaytext="t", format="QCOW2", hypervisor="Simulator",
            zoneid=zone["zone"], url=f"file://{secret}",
        )  # fmt: skip
    assert caught.value.code == 531


def test_raw_images_are_whole_sectors(tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(bytes(1024))
    assert inspect(file, "RAW").virtual_size == 1024
    file.write_bytes(bytes(1000))
    with pytest.raises(ImageRefused, match="512"):
        inspect(file, "RAW")
    with pytest.raises(ImageRefused, match="not a QCOW2"):
        inspect(file, "QCOW2")


def test_templates_go_with_their_account(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    own = {"account": "user", "domainid": cloud.user.account["domainid"]}
    for name in ("used", "unused"):
        cloud.api(
            "registerTemplate", name=name, displaytext=name, format="QCOW2", hypervisor="Simulator",
            zoneid=zone["zone"], url=f"http://images.test/{name}.qcow2", ispublic=True, **own,
        )  # fmt: skip
    (used,) = cloud.list("listTemplates", templatefilter="all", name="used")
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, {**zone, "template": used["id"]}, network, "m1")
    cloud.job("deleteAccount", id=cloud.user.account["id"])
    names = {one["name"] for one in cloud.list("listTemplates", templatefilter="all", listall=True)}
    assert names.isdisjoint({"used", "unused"})
    assert cloud.list("listAccounts", listall=True, name="user") == []
    assert cloud.job("rebootVirtualMachine", id=vm["id"])["state"] == "Running", "made from it, it lives on"
    with cloud.services.database.read() as db:
        assert not audit.findings(db)
