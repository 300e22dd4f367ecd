"""Rendered files of routers and hosts are as they were, and the programs that read them accept them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from pileus.dataplane import dnsmasq, host_firewall, nft, tap_guard
from pileus.dataplane.checks import SpecError
from pileus.wire.machines import Nic
from pileus.wire.segments import Segment
from tests.golden.specs import SPECS

HERE = Path(__file__).parent
PATHS = dnsmasq.Paths("/run/x/reservations", "/run/x/names", "/run/x/dnsmasq.pid", "/var/x/dnsmasq.log")
HOSTS = {
    "none": host_firewall.render_host("pl", ["203.0.113.1/24"]),
    "uplink": host_firewall.render_host("pl", ["203.0.113.1/24", "198.51.100.1/25"], "eth0", [8443, 8080]),
}

GUARDS = {
    "none": [],
    "some": [
        Nic(
            uuid=f"{number:08x}-58c5-4a0e-8a3b-000000000001",
            mac=f"02:00:4C:4F:4F:{number:02X}",
            address=address,
            segment=Segment(kind="vxlan", tag=5000),
            device=number,
        )
        for number, address in enumerate(("10.1.1.5", "10.1.1.6", ""), 10)
    ],
}


def same(name: str, text: str) -> None:
    """Compare with the kept file; PILEUS_GOLDEN=write keeps the text instead, to be looked at in the diff."""
    path = HERE / name
    if os.environ.get("PILEUS_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def accepted_by_nft(text: str) -> None:
    if shutil.which("nft") is None or os.geteuid() != 0:
        pytest.skip("nft -c needs nftables and root")
    done = subprocess.run(
        ["unshare", "--net", "nft", "-c", "-f", "-"],
        input=text,
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SPECS)
def test_rules(name: str) -> None:
    text = nft.render_router(SPECS[name])
    same(f"router_{name}.nft", text)
    accepted_by_nft(text)


@pytest.mark.parametrize("name", HOSTS)
def test_host_rules(name: str) -> None:
    same(f"host_{name}.nft", HOSTS[name])
    accepted_by_nft(HOSTS[name])


@pytest.mark.parametrize("name", GUARDS)
def test_guards(name: str) -> None:
    text = tap_guard.render_guard("pl", GUARDS[name])
    same(f"guard_{name}.nft", text)
    accepted_by_nft(text)


@pytest.mark.parametrize("wrong", [{"mac": "02:00:00:00:00:05 drop"}, {"address": "10.1.1.5/24"}, {"address": "::1"}])
def test_a_guard_takes_no_rubbish(wrong: dict[str, str]) -> None:
    with pytest.raises(SpecError):
        tap_guard.render_guard("pl", [msgspec.structs.replace(GUARDS["some"][0], **wrong)])


@pytest.mark.parametrize("name", SPECS)
def test_dnsmasq(name: str, tmp_path: Path) -> None:
    files = dnsmasq.render(SPECS[name], PATHS)
    same(f"router_{name}.dnsmasq", files.config)
    same(f"router_{name}.reservations", files.reservations)
    same(f"router_{name}.names", files.names)
    if shutil.which("dnsmasq") is None:
        pytest.skip("dnsmasq is not installed")
    config = tmp_path / "dnsmasq.conf"
    config.write_text(files.config)
    done = subprocess.run(
        ["dnsmasq", "--test", f"--conf-file={config}"], text=True, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_routers_own_name_is_no_machines() -> None:
    """A machine of that name would be asked for the metadata of its neighbours."""
    spec = SPECS["full"]
    hosts = [msgspec.structs.replace(host, name="Data-Server") for host in spec.hosts[:1]] + spec.hosts[1:]
    names = dnsmasq.render(msgspec.structs.replace(spec, hosts=hosts), PATHS).names
    assert [line for line in names.splitlines() if line.lower().endswith(" data-server")] == [
        f"{spec.guest.address} data-server"
    ]
    assert len(names.splitlines()) == len(hosts)
