"""What clouds of one machine must not share."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from pileus.client.claims import Claims, package_servers, prefix_candidate, routed_networks


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path / "claims")


def cloud(tmp_path, name):
    data = tmp_path / name
    data.mkdir()
    (data / "cloud.json").write_text("{}")
    return data


def test_a_prefix_is_short_and_stays(claims, tmp_path):
    data = cloud(tmp_path, "a")
    first = claims.prefix(data)
    assert len(first) == 4
    assert first.isalnum()
    assert claims.prefix(data) == first


def test_a_taken_prefix_is_passed_over(claims, tmp_path):
    mine, other = cloud(tmp_path, "mine"), cloud(tmp_path, "other")
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / prefix_candidate(mine)).write_text(str(other))
    assert claims.prefix(mine) == prefix_candidate(mine, 1)


def test_the_claim_of_a_cloud_that_is_gone_does_not_count(claims, tmp_path):
    mine = cloud(tmp_path, "mine")
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / prefix_candidate(mine)).write_text(str(tmp_path / "gone"))
    assert claims.prefix(mine) == prefix_candidate(mine)


def test_two_clouds_get_two_public_ranges_and_what_is_routed_is_left_out(claims, tmp_path):
    one, two = cloud(tmp_path, "one"), cloud(tmp_path, "two")
    assert claims.public_range(one, []) == "203.0.113.0/24"
    assert claims.public_range(two, [IPv4Network("198.51.100.0/25")]) == "192.0.2.0/24"
    claims.release(one)
    assert claims.public_range(cloud(tmp_path, "three"), []) == "203.0.113.0/24"


def test_the_kernel_s_routing_table_is_read(tmp_path):
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert routed_networks(table) == [IPv4Network("203.0.113.0/24")]


def test_package_servers_are_found_in_both_forms_of_sources(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# http://198.51.100.9/old\ndeb [trusted=yes] http://127.0.0.1/debian x main\n"
    )
    (tmp_path / "sources.list.d" / "a.sources").write_text("Types: deb\nURIs: https://127.0.0.2:8443/debian\n")
    assert package_servers(tmp_path) == [IPv4Network("127.0.0.1"), IPv4Network("127.0.0.2")]


def test_a_range_with_a_package_server_in_it_is_left_alone(tmp_path):
    claims = Claims(tmp_path / "claims")
    assert claims.public_range(tmp_path / "data", [IPv4Network("203.0.113.80")]) == "198.51.100.0/24"
