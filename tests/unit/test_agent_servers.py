"""Which management servers agents are told of, and in which order."""

from __future__ import annotations

from collections import Counter

import pytest

from pileus.core.jobs.membership import Known
from pileus.infrastructure.agent_servers import addresses, ordered

A, B, C = (f"https://10.0.0.{n}:8250" for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("setting", "working", "told"),
    [
        ("", [A], []),  # the only one there is
        ("", [A, B], [A, B]),
        ("10.0.0.2,10.0.0.1", [A, B], [B, A]),
        ("10.0.0.2", [A, B], [B]),
        ("10.0.0.2", [A], [A]),  # none of those named works
        ("lb.example, 10.0.0.1:8250", [A, B], ["https://lb.example:8250", A]),
        ("10.0.0.1:9999", [A, B], ["https://10.0.0.1:9999"]),
        ("fd00::1,[fd00::2]:99", [A, B], ["https://[fd00::1]:8250", "https://[fd00::2]:99"]),
        ("10.0.0.1:port,,10.0.0.2", [A, B], [B]),
    ],
)
def test_the_setting_names_them(setting: str, working: list[str], told: list[str]) -> None:
    everybody = working if not setting else [A, B, C]
    known = [Known(url, url in working) for url in everybody]
    assert addresses(setting, known, A) == told


def test_a_server_that_does_not_work_is_left_out() -> None:
    known = [Known(A, works=False), Known(B, works=True), Known(C, works=True)]
    assert addresses("", known, A) == [B, C]
    assert addresses("10.0.0.1,10.0.0.3", known, A) == [C]


def test_the_algorithms_spread_hosts() -> None:
    servers, hosts = [A, B, C], [(f"host-{number}", number) for number in range(300)]
    first = {
        algorithm: Counter(ordered(servers, algorithm, uuid, number)[0] for uuid, number in hosts)
        for algorithm in ("static", "roundrobin", "shuffle")
    }
    assert first["static"] == {A: 300}
    assert first["roundrobin"] == {A: 100, B: 100, C: 100}
    assert all(70 < count < 130 for count in first["shuffle"].values())
    for algorithm in first:
        for uuid, number in hosts[:20]:
            found = ordered(servers, algorithm, uuid, number)
            assert sorted(found) == servers
            assert ordered(servers, algorithm, uuid, number) == found
