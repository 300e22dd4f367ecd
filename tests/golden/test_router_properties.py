"""Whatever a sound specification says, nft accepts the rules, and they open what the rules of the user open."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pileus.dataplane import checks, nft, ruleset
from pileus.dataplane.openings import openings
from pileus.wire.router import EgressRule, FirewallRule, PortForward, RouterSpec
from tests.golden.specs import FULL

ADDRESSES = ["203.0.113.10", "203.0.113.11", "203.0.113.12"]
ports = st.tuples(st.integers(1, 120), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))
cidrs = st.builds(
    lambda number, prefix: str(IPv4Network((number, prefix), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
numbers = st.one_of(st.none(), st.integers(-1, 255))


@st.composite
def rules(draw: st.DrawFn, kind: type[FirewallRule] | type[EgressRule]) -> FirewallRule | EgressRule:
    fields: dict[str, object] = {"protocol": draw(st.sampled_from(["tcp", "udp", "icmp", "all"]))}
    if fields["protocol"] in ("tcp", "udp") and draw(st.booleans()):
        fields["start"], fields["end"] = draw(ports)
    if fields["protocol"] == "icmp":
        fields["icmp_type"], fields["icmp_code"] = draw(numbers), draw(numbers)
    fields["sources"] = draw(st.lists(cidrs, max_size=3))
    if kind is FirewallRule:
        return FirewallRule(address=draw(st.sampled_from(ADDRESSES)), **fields)
    return EgressRule(destinations=draw(st.lists(cidrs, max_size=2)), **fields)


@st.composite
def forwards(draw: st.DrawFn) -> list[PortForward]:
    found: list[PortForward] = []
    for address, protocol in itertools.product(ADDRESSES, ("tcp", "udp")):
        end = 0
        for gap, length in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=3)):
            start, end = end + gap, end + gap + length
            inner = start if draw(st.booleans()) else draw(st.integers(1, 60000))
            guest = draw(st.sampled_from(["10.1.1.5", "10.1.1.6"]))
            found.append(
                PortForward(
                    address=address,
                    protocol=protocol,
                    start=start,
                    end=end,
                    guest_address=guest,
                    guest_start=inner,
                    guest_end=inner + length,
                )
            )
    return found


specs = st.builds(
    lambda firewall, egress, forwards, allowed: msgspec.structs.replace(
        FULL, firewall=firewall, egress=egress, forwards=forwards, egress_allowed=allowed
    ),
    st.lists(rules(FirewallRule), max_size=12),
    st.lists(rules(EgressRule), max_size=6),
    forwards(),
    st.booleans(),
)


@pytest.mark.skipif(shutil.which("nft") is None or os.geteuid() != 0, reason="nft -c needs nftables and root")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_nft_accepts_every_sound_specification(spec: RouterSpec) -> None:
    done = subprocess.run(
        ["unshare", "--net", "nft", "-f", "-"],
        input=nft.render_router(spec),
        text=True,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@settings(max_examples=200, deadline=None)
@given(st.lists(rules(FirewallRule), max_size=12), st.sampled_from(["tcp", "udp"]), st.integers(1, 130), st.data())
def test_openings_are_exactly_what_the_rules_say(
    given_rules: list[FirewallRule], protocol: str, port: int, data: st.DataObject
) -> None:
    edges = [int(IPv4Network(source)[end]) for rule in given_rules for source in rule.sources for end in (0, -1)]
    source = data.draw(st.sampled_from(edges) if edges else st.integers(0, 2**32 - 1))
    found = openings(given_rules)
    for address in ADDRESSES:
        wanted = any(
            rule.address == address
            and rule.protocol in (protocol, "all")
            and (
                rule.protocol == "all"
                or checks.ports(rule.start, rule.end)[0] <= port <= checks.ports(rule.start, rule.end)[1]
            )
            and (not rule.sources or any(IPv4Address(source) in IPv4Network(each) for each in rule.sources))
            for rule in given_rules
        )
        opened = [
            *(True for a, p, n in found.exact if (a, p, n) == (address, protocol, port)),
            *(
                True
                for a, p, span, n in found.ranged
                if (a, p) == (address, protocol) and span[0] <= source <= span[1] and n[0] <= port <= n[1]
            ),
            *(True for a, span in found.whole if a == address and span[0] <= source <= span[1]),
            *(
                True
                for a, p, spans, n in found.linear
                if (a, p) == (address, protocol)
                and any(span[0] <= source <= span[1] for span in spans)
                and n[0] <= port <= n[1]
            ),
        ]
        assert bool(opened) == wanted
        if not found.linear:
            elements = [each for each in found.ranged if each[0] == address and each[1] == protocol]
            for one, other in itertools.combinations(elements, 2):
                assert not (_meet(one[2], other[2]) and _meet(one[3], other[3])), "nft refuses elements that overlap"


def test_nested_rules_do_not_explode() -> None:
    """A tenant who nests a thousand ranges with a source each must not get a million elements."""
    nested = [
        FirewallRule(
            address=ADDRESSES[0],
            protocol="tcp",
            start=1 + n,
            end=65535 - n,
            sources=[f"10.{n // 125}.{2 * (n % 125)}.0/24"],
        )
        for n in range(1000)
    ]
    found = openings(nested)
    assert not found.ranged
    assert len(found.linear) == 1000
    assert nft.render_router(msgspec.structs.replace(FULL, firewall=nested))


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"},
        {"hosts": [msgspec.structs.replace(FULL.hosts[0], name="a\nb")]},
        {"hosts": [msgspec.structs.replace(FULL.hosts[0], name="a,b")]},
        {"hosts": [FULL.hosts[0], FULL.hosts[0]]},
        {"hosts": [msgspec.structs.replace(FULL.hosts[0], address="10.9.9.9")]},
        {"guest": msgspec.structs.replace(FULL.guest, domain='x"; flush ruleset')},
        {"firewall": [FirewallRule(address="203.0.113.99", protocol="tcp", start=1)]},
        {"firewall": [FirewallRule(address="203.0.113.10", protocol="tcp", start=9, end=8)]},
        {"firewall": [FirewallRule(address="203.0.113.10", protocol="tcp", start=1, sources=["::/0"])]},
        {"forwards": [FULL.forwards[0], FULL.forwards[0]]},
        {"public_mac": ""},
        {"dns_upstream": ["example.org\nconf-file=/etc/passwd"]},
    ],
)
def test_unsound_specifications_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(checks.SpecError):
        nft.render_router(msgspec.structs.replace(FULL, **changes))


@pytest.mark.skipif(shutil.which("nft") is None or os.geteuid() != 0, reason="nft needs nftables and root")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs, specs)
def test_a_difference_of_rules_leads_to_the_same_table(old: RouterSpec, new: RouterSpec) -> None:
    """Element by element or as a whole: what the kernel holds in the end is the same."""
    new = msgspec.structs.replace(new, egress=old.egress, egress_allowed=old.egress_allowed)
    new = msgspec.structs.replace(new, firewall=[*old.firewall[1:], *new.firewall[:1]])
    before, after = nft.router_ruleset(old), nft.router_ruleset(new)
    step = ruleset.difference(before, after, largest=2.0)
    if step is None:  # a rule about ICMP differs, which is no element
        return
    assert loaded(ruleset.whole(before), step) == loaded(ruleset.whole(after))


def loaded(*texts: str) -> list[str]:
    """Load files one after the other; returns the lines of the table that the kernel then holds, in any order."""
    steps = [*(f"printf '%s' \"${number + 1}\" | nft -f - &&" for number in range(len(texts))), "nft -s list ruleset"]
    arguments = ["unshare", "--net", "sh", "-c", " ".join(steps), "sh", *texts]
    done = subprocess.run(arguments, text=True, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("elements = {", "").splitlines()
    return sorted(part.strip(" ,\t{}") for line in lines for part in line.split(","))
