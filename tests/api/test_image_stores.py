"""Image stores: which one a template goes to, by the zone's selector or by room; what closes one; moving its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.test_templates import directory_zone, qcow2, register, shown
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import simulated_zone


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.api("updateConfiguration", name=name, value=str(value))


def selector(cloud: Cloud, zone: dict[str, str], rule: str, **more: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "name": "rule",
        "description": "d",
        "type": "template",
        "zoneid": zone["zone"],
        "heuristicrule": rule,
    }
    return cloud.api("createSecondaryStorageSelector", **asked | more)["heuristics"]


def add(cloud: Cloud, zone: dict[str, str], name: str, url: str) -> str:
    provider = "directory" if url.startswith("file") else "NFS"
    made = cloud.api("addImageStore", name=name, provider=provider, zoneid=zone["zone"], url=url)
    return made["imagestore"]["id"]


def pretended(cloud: Cloud, zone: dict[str, str], name: str, **more: Any) -> dict[str, Any]:
    return register(cloud, zone, Path("/"), url="http://images.test/x.qcow2", name=name, **more)


def holders(cloud: Cloud, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return which stores hold something, by what holds them back from deletion."""
    found: dict[str, list[str]] = {}
    for store in cloud.list("listImageStores"):
        try:
            cloud.api("deleteImageStore", id=store["id"])
        except Refused as refused:
            found[store["name"]] = [name for name in names if name in refused.text]
    return found


def test_a_selector_chooses_the_store(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    second = add(cloud, zone, "second", "nfs://nas/second")
    add(cloud, zone, "third", "nfs://nas/third")
    rule = (
        f"function chosen(pool) {{\n  return pool.id === '{second}';\n}}\n"
        "if (template.name.startsWith('here') && account.name == 'admin') {\n"
        "  secondaryStorages.filter(chosen)[0].id\n}"
    )
    made = selector(cloud, zone, rule)
    assert (made["type"], made["zoneid"], made["heuristicrule"]) == ("TEMPLATE", zone["zone"], rule)
    for name in ("here1", "here2", "elsewhere"):
        pretended(cloud, zone, name)
    held = holders(cloud, ("tiny", "here1", "here2", "elsewhere"))
    assert held == {"z1-images": ["tiny"], "second": ["here1", "here2"], "third": ["elsewhere"]}
    assert cloud.list("listAlerts", keyword="selector") == []


def test_selectors_are_one_of_a_type_in_a_zone(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    made = selector(cloud, zone, "secondaryStorages[0].id")
    with pytest.raises(Refused, match="already"):
        selector(cloud, zone, "'x'", type="TEMPLATE")
    other = selector(cloud, zone, "snapshot.size > 1 ? 'a' : 'b'", type="SNAPSHOT", name="snaps")
    assert cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"]) == [made, other]
    assert cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"], type="snapshot") == [other]
    assert cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"], keyword="SNAP") == [other]
    changed = cloud.api("updateSecondaryStorageSelector", id=other["id"], heuristicrule="'c'")["heuristics"]
    assert changed == other | {"heuristicrule": "'c'"}
    assert cloud.api("removeSecondaryStorageSelector", id=other["id"])["success"]
    assert cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"]) == [made]
    (removed,) = cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"], type="SNAPSHOT", showremoved=True)
    assert removed["removed"]
    assert selector(cloud, zone, "'x'", type="SNAPSHOT")["id"] != other["id"]
    with pytest.raises(Refused):
        cloud.api("updateSecondaryStorageSelector", id=other["id"], heuristicrule="'c'")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"type": "DISK"}, "type"),
        ({"heuristicrule": "if ("}, "heuristicrule"),
        ({"heuristicrule": "volume.size"}, "'volume' is not known"),
        ({"heuristicrule": "x" * 70_000}, "heuristicrule"),
        ({"name": " "}, "name"),
        ({"zoneid": "nowhere"}, "zoneid"),
    ],
)
def test_what_is_no_selector(cloud: Cloud, wrong: dict[str, Any], what: str) -> None:
    zone = simulated_zone(cloud, hosts=1)
    with pytest.raises(Refused, match=what) as caught:
        selector(cloud, zone, "'x'", **wrong)
    assert caught.value.code == 431
    assert cloud.list("listSecondaryStorageSelectors", zoneid=zone["zone"]) == []


@pytest.mark.parametrize(
    ("rule", "why"),
    [("'nothing'", "named 'nothing'"), ("while (true) {}", "too many steps"), ("template.format.nothing()", "failed")],
)
def test_a_rule_that_cannot_be_followed_raises_an_alert(cloud: Cloud, rule: str, why: str) -> None:
    zone = simulated_zone(cloud, hosts=1)
    selector(cloud, zone, rule)
    assert pretended(cloud, zone, "t")["isready"]
    (alert,) = cloud.list("listAlerts", keyword="selector")
    assert why in alert["description"]
    assert "freest image store" in alert["description"]


def test_templates_go_to_the_freest_store_that_is_open(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    second = add(cloud, zone, "second", "nfs://nas/second")
    pretended(cloud, zone, "a")
    closed = cloud.api("updateImageStore", id=second, readonly=True, name="closed")["imagestore"]
    assert (closed["readonly"], closed["name"]) == (True, "closed")
    assert [store["id"] for store in cloud.list("listImageStores", readonly=True)] == [second]
    for name in ("b", "c"):
        pretended(cloud, zone, name)
    with pytest.raises(Refused, match=r"still holds 1 templates \(a\)"):
        cloud.api("deleteImageStore", id=second)
    cases: list[dict[str, Any]] = [{"name": "z1-images"}, {"name": " "}, {"capacitybytes": 5}]
    for wrong in cases:
        with pytest.raises(Refused):
            cloud.api("updateImageStore", id=second, **wrong)
    with pytest.raises(Refused) as caught:
        cloud.api("updateImageStore", cloud.domain_admin, id=second, readonly=False)
    assert caught.value.code == 401


def stored(cloud: Cloud, zone: dict[str, str], count: int) -> list[str]:
    made: list[str] = []
    for number in range(count):
        file = qcow2(cloud.options.builtin / f"t{number}.qcow2")
        made.append(register(cloud, zone, file, name=f"t{number}")["id"])
    until(lambda: all(shown(cloud, id_)["isready"] for id_ in made), 10)
    return made


def migrate(cloud: Cloud, source: str, to: str, kind: str) -> dict[str, Any]:
    return cloud.job("migrateSecondaryStorageData", srcpool=source, destpools=to, migrationtype=kind)


def test_a_store_is_emptied(cloud: Cloud, tmp_path: Path) -> None:
    zone = directory_zone(cloud, tmp_path)
    made = stored(cloud, zone, 3)
    (source,) = cloud.list("listImageStores")
    to = add(cloud, zone, "new", f"file://{tmp_path}/new")
    told = migrate(cloud, source["id"], to, "complete")
    assert (told["success"], told["migrationtype"]) == (True, "COMPLETE")
    assert told["message"] == "3 of 3 templates were moved from files"
    assert cloud.list("listImageStores", name="files")[0]["readonly"]
    assert list((tmp_path / "store" / "templates").iterdir()) == []
    assert {file.name for file in (tmp_path / "new" / "templates").iterdir()} == {f"{id_}.qcow2" for id_ in made}
    assert all(shown(cloud, id_)["isready"] for id_ in made)
    cloud.api("deleteImageStore", id=source["id"])
    cloud.job("deleteTemplate", id=made[0])
    assert not (tmp_path / "new" / "templates" / f"{made[0]}.qcow2").exists()
    assert [event["type"] for event in cloud.list("listEvents", type="IMAGE.STORE.MIGRATE.DATA")]


def test_a_damaged_file_stays_where_it_is(cloud: Cloud, tmp_path: Path) -> None:
    zone = directory_zone(cloud, tmp_path)
    bad, good = stored(cloud, zone, 2)
    (source,) = cloud.list("listImageStores")
    damaged = tmp_path / "store" / "templates" / f"{bad}.qcow2"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    told = migrate(cloud, source["id"], add(cloud, zone, "new", f"file://{tmp_path}/new"), "Complete")
    assert not told["success"]
    assert "1 of 2" in told["message"]
    assert "t0: its file" in told["message"]
    assert "is damaged" in cloud.list("listAlerts", keyword="damaged")[0]["description"]
    assert damaged.exists()
    assert [file.name for file in (tmp_path / "new" / "templates").iterdir()] == [f"{good}.qcow2"]


def test_stores_are_balanced_as_the_setting_says(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    for number in range(5):
        pretended(cloud, zone, f"t{number}")
    (source,) = cloud.list("listImageStores")
    second = add(cloud, zone, "second", "nfs://nas/second")
    assert migrate(cloud, source["id"], second, "Balance")["message"].startswith("0 of 0 ")
    put(cloud, "image.store.imbalance.threshold", 0)
    told = cloud.job("migrateSecondaryStorageData", srcpool=source["id"], destpools=second)
    assert (told["migrationtype"], told["success"]) == ("BALANCE", True)
    assert told["message"] == "3 of 3 templates were moved from z1-images"
    assert not cloud.list("listImageStores", id=source["id"])[0]["readonly"]
    with pytest.raises(Refused, match="still holds 3 templates"):
        cloud.api("deleteImageStore", id=second)


def test_what_data_may_not_be_moved_to(cloud: Cloud, tmp_path: Path) -> None:
    zone = simulated_zone(cloud, hosts=1)
    far = simulated_zone(cloud, hosts=1, name="z2")
    source = cloud.list("listImageStores", name="z1-images")[0]["id"]
    closed = add(cloud, zone, "closed", "nfs://nas/closed")
    cloud.api("updateImageStore", id=closed, readonly=True)
    cases = {
        source: "is the one of parameter srcpool",
        closed: "is read-only",
        add(cloud, zone, "files", f"file://{tmp_path}/files"): "of another kind",
        add(cloud, far, "far", "nfs://nas/far"): "of another zone",
        "nothing": "destpools",
    }
    for to, why in cases.items():
        with pytest.raises(Refused, match=why) as caught:
            cloud.api("migrateSecondaryStorageData", srcpool=source, destpools=to, migrationtype="Complete")
        assert caught.value.code == 431
    fine = add(cloud, zone, "fine", "nfs://nas/fine")
    with pytest.raises(Refused, match="migrationtype"):
        cloud.api("migrateSecondaryStorageData", srcpool=source, destpools=fine, migrationtype="Some")
    with pytest.raises(Refused) as caught:
        cloud.api("migrateSecondaryStorageData", cloud.user, srcpool=source, destpools=fine)
    assert caught.value.code == 401
    assert not cloud.list("listImageStores", id=source)[0]["readonly"]
