"""What a network's owner chose reaches guests and links: DHCP options of single machines, MTUs of both sides."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pileus.dataplane import names
from pileus.wire.router import RouterSpec
from tests.support.network import PREFIX, Client, Lab, run


def test_a_machine_is_told_its_own_options_and_others_are_not(lab: Lab, spec: RouterSpec, tmp_path: Path) -> None:
    web, db = spec.hosts
    chosen = {"66": "tftp.example.net", "42": "192.0.2.1,192.0.2.2"}
    lab.apply(hosts=[msgspec.structs.replace(web, dhcp_options=chosen), db])
    bridge = names.guest_bridge(PREFIX, spec.guest.segment)
    for host, expected in ((web, ("tftp.example.net", "192.0.2.1 192.0.2.2")), (db, (None, None))):
        guest = Client("one", bridge, host.mac, 1450)
        try:
            lease = guest.dhcp(tmp_path, "tftp", "ntpsrv")
            assert lease["ip"] == host.address
            assert (lease.get("tftp"), lease.get("ntpsrv")) == expected
        finally:
            guest.close()


def test_links_and_guests_have_the_mtu_that_was_chosen(lab: Lab, spec: RouterSpec, tmp_path: Path) -> None:
    segment = msgspec.structs.replace(spec.guest.segment, mtu=1300)
    lab.apply(guest=msgspec.structs.replace(spec.guest, segment=segment), public_mtu=1400)
    links = run(["ip", "-n", names.namespace(PREFIX, spec.name), "-o", "link"]).splitlines()
    mtu = {line.split(": ")[1].split("@")[0]: line.split(" mtu ")[1].split()[0] for line in links}
    assert (mtu[names.GUEST_LEG], mtu[names.PUBLIC_LEG]) == ("1300", "1400")
    guest = Client("one", names.guest_bridge(PREFIX, segment), spec.hosts[0].mac, 1300)
    try:
        assert guest.dhcp(tmp_path)["mtu"] == "1300"
        assert guest.pings("10.1.1.1")
    finally:
        guest.close()
