"""Where volumes and templates live, and the built-in template."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

from pileus.client.folder import Cloud, FolderError
from pileus.client.up.plan import give, server_options
from pileus.client.up.site import Site, only

TEMPLATE = "pileus-tiny"
TEMPLATE_LIMIT = 120.0
PAUSE = 0.05


def built_in_template(cloud: Cloud) -> Path | None:
    """Return the built-in template from the cache, built when it is not there; None for a simulated cloud."""
    if cloud.simulator:
        return None
    from pileus.images.builtin import BuildError, cached

    try:
        return cached()
    except BuildError as error:
        raise FolderError(f"the built-in template cannot be built: {error}") from error


def make_primary(site: Site) -> None:
    """Make the primary storage: a folder of this host; for simulated hosts one for all, and one of each host's own."""
    if site.cloud.simulator:
        _pool(site, "primary1", "simulator://pileus/primary1", scope="ZONE", hypervisor="Simulator")
        _simulated_local(site)
        return
    folder = site.folder.agent / "pool"
    _pool(
        site, "local1", f"file://{site.ids['host']}{folder}",
        scope="HOST", podid=site.ids["pod"], clusterid=site.ids["cluster"],
    )  # fmt: skip


def register(site: Site, template: Path | None) -> None:
    """Make the image store and register the built-in template, which the server then copies into it."""
    if not site.api.list("listImageStores", zoneid=site.ids["zone"]):
        images = server_options(site.folder, site.cloud).images
        site.api.run(
            "addImageStore", name="images1", provider="directory", zoneid=site.ids["zone"], url=f"file://{images}"
        )
    file = _offered(site, template)
    found = site.find("listTemplates", TEMPLATE, templatefilter="all", zoneid=site.ids["zone"])
    if found is None:
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        types = site.api.list("listOsTypes", keyword="Other Linux (64-bit)") or site.api.list("listOsTypes")
        os_type = only(types, "operating system types")["id"]
        found = site.api.run(
            "registerTemplate", name=TEMPLATE, displaytext="Pileus built-in: a tiny Linux of Debian's parts",
            zoneid=site.ids["zone"], url=f"file://{file}", checksum=f"{{SHA-256}}{checksum}", format="QCOW2",
            hypervisor="Simulator" if site.cloud.simulator else "KVM", ostypeid=os_type,
            ispublic=True, isfeatured=True, passwordenabled=True, sshkeyenabled=True, requireshvm=True,
        )  # fmt: skip
    site.ids["template"] = str(found["id"])


def wait_for_template(site: Site) -> None:
    """Wait until the image store has the template."""
    until = time.monotonic() + TEMPLATE_LIMIT
    zone = site.ids["zone"]
    while True:
        found = only(
            site.api.list("listTemplates", templatefilter="all", id=site.ids["template"], zoneid=zone), TEMPLATE
        )
        if found.get("isready"):
            return
        if time.monotonic() > until:
            raise FolderError(
                f"the template {TEMPLATE} was not ready within {TEMPLATE_LIMIT:.0f} s: {found.get('status')}; "
                f"see {site.folder.logs}/server.log"
            )
        time.sleep(PAUSE)


def _pool(site: Site, name: str, url: str, *, scope: str, **more: str) -> None:
    site.ensure(
        "pool", "createStoragePool", name, find="listStoragePools", filters={"zoneid": site.ids["zone"]},
        zoneid=site.ids["zone"], url=url, scope=scope, **more,
    )  # fmt: skip


def _simulated_local(site: Site) -> None:
    there = {pool["name"] for pool in site.api.list_all("listStoragePools", zoneid=site.ids["zone"])}
    for host in site.api.list_all("listHosts", type="Routing", clusterid=site.ids["cluster"]):
        name = f"local-{host['name']}"
        if name not in there:
            site.api.run(
                "createStoragePool", name=name, url=f"simulator://{host['id']}/local", scope="HOST",
                zoneid=site.ids["zone"], podid=site.ids["pod"], clusterid=site.ids["cluster"], hypervisor="Simulator",
            )  # fmt: skip


def _offered(site: Site, template: Path | None) -> Path:
    """Put the template where the server may read it: a stub of a disk for simulated hosts, which never boot."""
    file = server_options(site.folder, site.cloud).builtin / f"{TEMPLATE}.qcow2"
    if template is None:
        from pileus.images.builtin.stub import write_stub

        if not file.exists():
            write_stub(file, 1 << 30)
    elif not file.exists() or file.stat().st_size != template.stat().st_size:
        fresh = file.with_name(f".{file.name}")
        shutil.copyfile(template, fresh)
        fresh.replace(file)
    if site.cloud.user:
        give(file, site.cloud.user)
    return file
