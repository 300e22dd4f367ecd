"""Image stores: the older form of adding one; what holds one back from deletion; what primary storage can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import simulated_zone


def test_secondary_storage_is_an_image_store(cloud: Cloud, tmp_path: Path) -> None:
    zone = simulated_zone(cloud, hosts=1)
    made = cloud.api("addSecondaryStorage", url="nfs://nas/secondary", zoneid=zone["zone"])["secondarystorage"]
    assert (made["name"], made["providername"], made["zoneid"]) == ("nfs://nas/secondary", "NFS", zone["zone"])
    assert made["id"] in [store["id"] for store in cloud.list("listImageStores")]
    folder = cloud.api("addSecondaryStorage", url=f"file://{tmp_path}/images")["secondarystorage"]
    assert (folder["providername"], folder["scope"]) == ("directory", "REGION")
    for wrong in ("ftp://nas/x", "nfs://nas/secondary"):
        with pytest.raises(Refused) as caught:
            cloud.api("addSecondaryStorage", url=wrong)
        assert caught.value.code == 431
    with pytest.raises(Refused) as caught:
        cloud.api("addSecondaryStorage", cloud.domain_admin, url="nfs://nas/y")
    assert caught.value.code == 401
    cloud.api("deleteImageStore", id=made["id"])
    first = cloud.list("listImageStores", name="z1-images")[0]
    with pytest.raises(Refused, match=r"still holds 1 templates \(tiny\)"):
        cloud.api("deleteImageStore", id=first["id"])


def test_capabilities_of_primary_storage(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    (shown,) = cloud.list("updateStorageCapabilities", id=zone["pool"])
    assert shown == cloud.list("listStoragePools", id=zone["pool"])[0]
    assert shown["storagecapabilities"] == {"VOLUME_SNAPSHOT_QUIESCEVM": "false"}
    with pytest.raises(Refused):
        cloud.api("updateStorageCapabilities", id=zone["zone"])


def test_a_category_that_hosts_prefer_stays(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    made = cloud.api("addOsCategory", name="Plan 9")["oscategory"]
    cloud.api("updateHost", id=zone["host"], oscategoryid=made["id"])
    with pytest.raises(Refused, match="host z1-h0"):
        cloud.api("deleteOsCategory", id=made["id"])
