"""Rules of passwords: each by its setting, in its domain, wherever a password is given; the refusal names the rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Refused

GOOD = "Gut genug, 42 mal"
RULES: dict[str, tuple[Any, str]] = {
    "minimum.length": (17, "Gut genug, 42 ma"),
    "minimum.digits": (2, "Gut genug, 4 mal."),
    "minimum.uppercase.letters": (1, "gut genug, 42 mal"),
    "minimum.lowercase.letters": (1, "GUT GENUG, 42 MAL"),
    "minimum.special.characters": (1, "Gutgenug42malmehr"),
    "allowPasswordToContainUsername": (False, "Ann2, ann3 genug!"),
    "regex": (r"(?=.*\d)[A-Z].*l", "gut genug, 42 mal"),
}
FULL: dict[str, Any] = {"firstname": "F", "lastname": "L", "email": "f@cloud.test"}


def refused(cloud: Cloud, command: str, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.api(command, **parameters)
    return caught.value


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds_for_every_way_to_a_password(cloud: Cloud, rule: str):
    value, bad = RULES[rule]
    domain = cloud.user.account["domainid"]
    own = cloud.user.account["user"][0]["id"]
    name = f"password.policy.{rule}"
    cloud.api("updateConfiguration", name=name, value=value, domainid=domain)
    cloud.api("updateUser", id=own, username="ann")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("createAccount", {"username": "ann2", "domainid": domain, "accounttype": 0} | FULL),
        ("createUser", {"username": "ann3", "domainid": domain, "account": "user"} | FULL),
        ("updateUser", {"id": own}),
    ]
    for command, parameters in calls:
        refusal = refused(cloud, command, password=bad, **parameters)
        assert refusal.code == 431
        assert name in refusal.text
        assert bad not in refusal.text
    assert [user["username"] for user in cloud.list("listUsers", domainid=domain, listall=True)] == ["ann"]
    for command, parameters in calls:
        cloud.api(command, password=GOOD, **parameters)
    elsewhere = cloud.stranger.account["user"][0]["id"]
    cloud.api("updateUser", id=elsewhere, password=bad)  # the rule is the domain's


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_for_everywhere_holds_where_a_domain_says_nothing_else(cloud: Cloud, rule: str):
    value, bad = RULES[rule]
    name = f"password.policy.{rule}"
    handle = cloud.list("listConfigurations", name=name)[0]
    assert (handle["scope"], handle["group"], handle["subgroup"]) == ("Global,Domain", "Access", "Sign-in")
    domain, own = cloud.user.account["domainid"], cloud.user.account["user"][0]["id"]
    cloud.api("updateUser", id=own, username="ann")
    cloud.api("updateConfiguration", name=name, value=value)
    assert refused(cloud, "updateUser", id=own, password=bad).code == 431
    cloud.api("updateConfiguration", name=name, value=handle["defaultvalue"], domainid=domain)
    cloud.api("updateUser", id=own, password=bad)


def test_patterns_are_checked_and_set_by_root_admins(cloud: Cloud):
    domain = cloud.user.account["domainid"]
    chief = cloud.domain_admin
    refusal = refused(cloud, "updateConfiguration", name="password.policy.regex", value="([a-z")
    assert refusal.code == 431
    assert "regular expression" in refusal.text
    cloud.api("updateConfiguration", chief, name="password.policy.minimum.length", value=3, domainid=domain)
    refusal = refused(
        cloud, "updateConfiguration", caller=chief, name="password.policy.regex", value="(a+)+b", domainid=domain
    )
    assert refusal.code == 531
    assert "root admins" in refusal.text
    assert cloud.list("listConfigurations", name="password.policy.regex", domainid=domain)[0]["value"] == ".+"


def test_a_number_of_characters_is_in_range(cloud: Cloud):
    for value in ("-1", "256", "many"):
        assert refused(cloud, "updateConfiguration", name="password.policy.minimum.length", value=value).code == 431
