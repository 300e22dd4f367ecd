"""Who sees what in lists: every owned list, asked by everybody with every scope, against the rules written down anew.

The rules: without ``listall`` one sees what is one's own; with it root admins see all, domain admins their subtree;
``domainid`` (with ``isrecursive`` what is below it too) and ``account`` narrow that; what belongs to projects is only
in lists that ask for it; what one may not see is refused, not left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, simulated_zone

ROOT, TESTS, BELOW, ELSEWHERE = "/", "/tests/", "/tests/below/", "/elsewhere/"


class Owner(msgspec.Struct, frozen=True):
    """Who owns an object of each kind: an account, or a project."""

    name: str
    path: str
    kind: int = 0  # 0 user, 1 root admin, 2 domain admin
    members: frozenset[str] = frozenset()  # of a project

    @property
    def project(self) -> bool:
        return bool(self.members)


OWNERS = (
    Owner("admin", ROOT, 1),
    Owner("chief", TESTS, 2),
    Owner("user", TESTS),
    Owner("other", TESTS),
    Owner("deputy", BELOW, 2),
    Owner("inner", BELOW),
    Owner("governor", ELSEWHERE, 2),
    Owner("stranger", ELSEWHERE),
    Owner("apollo", TESTS, members=frozenset({"user"})),
    Owner("gemini", BELOW, members=frozenset({"inner", "deputy"})),
)
ACCOUNTS = {owner.name: owner for owner in OWNERS if not owner.project}
PROJECTS = {owner.name: owner for owner in OWNERS if owner.project}
PATHS = (ROOT, TESTS, BELOW, ELSEWHERE)
LISTS: dict[str, dict[str, Any]] = {
    "listVirtualMachines": {},
    "listNetworks": {},
    "listVolumes": {},
    "listPublicIpAddresses": {},
    "listSSHKeyPairs": {},
    "listUserData": {},
    "listTags": {"key": "whose"},
    "listResourceDetails": {"resourcetype": "UserVm", "key": "whose"},
    "listEvents": {"type": "REGISTER.SSH.KEYPAIR"},
    "listAsyncJobs": {"keyword": "deployVirtualMachine"},
    "listTemplates": {"templatefilter": "self", "keyword": "of-"},
    "listVirtualMachinesMetrics": {},
}


class World(msgspec.Struct):
    """A cloud in which everybody owns one of everything."""

    cloud: Cloud
    people: dict[str, Person]
    domains: dict[str, str]  # path -> id
    projects: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Cloud.start(tmp_path_factory.mktemp("scopes")) as cloud:
        yield populated(cloud)


def populated(cloud: Cloud) -> World:
    zone = simulated_zone(cloud, hosts=1)
    domains = {ROOT: cloud.list("listDomains", level=0)[0]["id"]}
    domains[TESTS] = cloud.domain("tests")["id"]
    domains[BELOW] = cloud.domain("below", domains[TESTS])["id"]
    domains[ELSEWHERE] = cloud.domain("elsewhere")["id"]
    people = {"admin": cloud.root}
    for owner in ACCOUNTS.values():
        if owner.kind != 1:
            people[owner.name] = cloud.person(owner.name, type_=owner.kind, domain=owner.path.split("/")[-2])
    projects: dict[str, str] = {}
    for project in PROJECTS.values():
        first, *others = sorted(project.members)
        projects[project.name] = cloud.job("createProject", people[first], name=project.name, displaytext="x")["id"]
        for each in others:
            cloud.job("addAccountToProject", people[first], projectid=projects[project.name], account=each)
    for owner in OWNERS:
        of = {"account": owner.name, "domainid": domains[owner.path]}
        if owner.project:
            of = {"projectid": projects[owner.name]}
        one_of_each(cloud, zone, owner.name, of, people[min(owner.members, default=owner.name)])
    return World(cloud, people, domains, projects)


def one_of_each(cloud: Cloud, zone: dict[str, str], name: str, of: dict[str, str], who: Person) -> None:
    network = isolated_network(cloud, zone, f"of-{name}", **of)
    order = {"templateid": zone["template"], "serviceofferingid": zone["offering"], "networkids": network}
    vm = cloud.job(
        "deployVirtualMachine", who, name=f"of-{name}", zoneid=zone["zone"], startvm=False, details={"whose": name},
        **order, **of,
    )  # fmt: skip
    cloud.job("createTags", resourceids=vm["id"], resourcetype="UserVm", tags=[{"key": "whose", "value": name}])
    cloud.job("associateIpAddress", networkid=network, **of)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJn0bXfTqG5lSBkKX1v3tO7p1Z0t5m7n7g2K5lq9b0aB"
    cloud.api("registerSSHKeyPair", name=f"of-{name}", publickey=key, **of)
    cloud.api("registerUserData", name=f"of-{name}", userdata="aGVsbG8=", **of)
    cloud.api(
        "registerTemplate", name=f"of-{name}", displaytext="x", format="QCOW2", hypervisor="Simulator",
        url="http://images.test/x.qcow2", zoneid=zone["zone"], **of,
    )  # fmt: skip


def scopes() -> Iterator[dict[str, Any]]:
    """Yield every way to ask: names instead of ids."""
    for listall in (False, True):
        more = {"listall": True} if listall else {}
        yield more
        yield more | {"projectid": "-1"}
        for project in PROJECTS:
            yield more | {"projectid": project}
        for path in PATHS:
            for recursive in (False, True):
                yield more | {"domainid": path, "isrecursive": recursive}
    yield {"isrecursive": True}
    for owner in ACCOUNTS.values():
        yield {"account": owner.name}
        yield {"account": owner.name, "domainid": owner.path, "listall": True}
        yield {"account": owner.name, "domainid": TESTS}
    yield {"account": "user", "projectid": "apollo"}
    yield {"domainid": ELSEWHERE, "projectid": "apollo"}


def expected(caller: Owner, asked: dict[str, Any]) -> set[str] | None:
    """Return whose objects the caller sees; None = refused."""
    account, path, project = asked.get("account"), asked.get("domainid"), asked.get("projectid")
    if path is not None and not reaches(caller, path) and path != caller.path:
        return None
    if project is not None:
        return of_projects(caller, project, asked)
    if account is not None:
        found = ACCOUNTS.get(account)
        if found is None or found.path != (path or caller.path) or not acts_for(caller, found):
            return None
        return {account}
    if path is not None:
        if caller.kind == 0:
            return {caller.name}
        return {each.name for each in ACCOUNTS.values() if lies(each.path, path, deep=asked["isrecursive"])}
    if not asked.get("listall") or caller.kind == 0:
        return {caller.name}
    return {each.name for each in ACCOUNTS.values() if reaches(caller, each.path)}


def of_projects(caller: Owner, project: str, asked: dict[str, Any]) -> set[str] | None:
    if asked.get("account") is not None:
        return None
    mine = {each.name for each in PROJECTS.values() if caller.name in each.members}
    if project == "-1":
        everything = {each.name for each in OWNERS}
        return (everything if asked.get("listall") else set(PROJECTS)) if caller.kind == 1 else mine
    found = PROJECTS[project]
    if project not in mine and not reaches(caller, found.path):
        return None
    if asked.get("domainid") not in (None, found.path):
        return None
    return {project}


def reaches(caller: Owner, path: str) -> bool:
    return caller.kind == 1 or (caller.kind == 2 and path.startswith(caller.path))


def acts_for(caller: Owner, other: Owner) -> bool:
    return caller.name == other.name or reaches(caller, other.path)


def lies(path: str, within: str, *, deep: bool) -> bool:
    return path.startswith(within) if deep else path == within


def seen(world: World, command: str, caller: str, asked: dict[str, Any]) -> set[str] | None:
    """Return whose objects a list has; None = refused."""
    more = dict(asked)
    if "domainid" in more:
        more["domainid"] = world.domains[more["domainid"]]
    if "projectid" in more:
        more["projectid"] = world.projects.get(more["projectid"], "-1")
    try:
        found = world.cloud.list(command, world.people[caller], **LISTS[command], **more)
    except Refused as error:
        if error.code not in (431, 531):
            raise
        return None
    if command == "listResourceDetails":
        return {each["value"] for each in found}
    assert not any("account" in each and "project" in each for each in found)
    return {each.get("project") or each["account"] for each in found}


@pytest.mark.parametrize("command", LISTS)
def test_everybody_sees_in_every_scope_what_the_rules_say(world: World, command: str) -> None:
    wrong: list[str] = []
    for caller, owner in ACCOUNTS.items():
        for asked in scopes():
            if command == "listAsyncJobs" and "projectid" in asked:
                continue  # jobs belong to who called
            found, right = seen(world, command, caller, asked), expected(owner, asked)
            if found != right:
                wrong.append(f"{caller} asks {asked}: sees {found}, should see {right}")
    assert wrong == []


@pytest.mark.parametrize("command", ["listVirtualMachines", "listNetworks", "listSSHKeyPairs", "listVolumes"])
def test_a_keyword_narrows_and_never_widens(world: World, command: str) -> None:
    word = "ROOT-" if command == "listVolumes" else "of-"
    for caller, owner in ACCOUNTS.items():
        for asked in ({}, {"listall": True}, {"projectid": "-1"}):
            found = seen(world, command, caller, asked | {"keyword": word})
            assert found == expected(owner, asked)
            assert seen(world, command, caller, asked | {"keyword": "nothing has this"}) == set()
    assert seen(world, "listNetworks", "chief", {"listall": True, "keyword": "OF-STRANGER"}) == set()
    assert seen(world, "listNetworks", "chief", {"listall": True, "keyword": "OF-INNER"}) == {"inner"}


def test_lists_that_do_not_page_by_owner_are_scoped_too(world: World) -> None:
    """Accounts, users, domains: who sees which."""
    for caller, owner in ACCOUNTS.items():
        everything = {"listall": True, "pagesize": 100, "page": 1}
        whole = {each.name for each in ACCOUNTS.values() if reaches(owner, each.path)} or {caller}
        assert names(world, "listAccounts", caller, **everything) == whole
        assert names(world, "listUsers", caller, **everything) == whole
        assert names(world, "listAccounts", caller) == names(world, "listUsers", caller) == {caller}
        for path in PATHS:
            asked = {"domainid": world.domains[path]}
            if not reaches(owner, path):
                if path != owner.path:
                    assert refused(world, "listAccounts", caller, **asked) == 531
                    assert refused(world, "listUsers", caller, **asked) == 531
                continue
            exact = {each.name for each in ACCOUNTS.values() if each.path == path}
            deep = {each.name for each in ACCOUNTS.values() if each.path.startswith(path)}
            assert names(world, "listAccounts", caller, **asked) == names(world, "listUsers", caller, **asked) == exact
            assert names(world, "listAccounts", caller, isrecursive=True, **asked) == deep
            assert names(world, "listUsers", caller, isrecursive=True, **asked) == deep
            assert names(world, "listAccounts", caller, listall=True, **asked) == deep
        if owner.kind:
            domains = {path.split("/")[-2] or "ROOT" for path in PATHS if reaches(owner, path)}
            own = owner.path.split("/")[-2] or "ROOT"
            assert names(world, "listDomains", caller, listall=True) == domains
            assert names(world, "listDomains", caller) == (domains if owner.kind == 1 else {own})
            assert names(world, "listDomains", caller, listall=True, keyword="ELOW") == domains & {"below"}


def names(world: World, command: str, caller: str, **more: Any) -> set[str]:
    key = "username" if command == "listUsers" else "name"
    return {each[key] for each in world.cloud.list(command, world.people[caller], **more)}


def refused(world: World, command: str, caller: str, **more: Any) -> int:
    with pytest.raises(Refused) as caught:
        world.cloud.list(command, world.people[caller], **more)
    return caught.value.code


def test_a_word_finds_among_what_one_may_see_only(world: World) -> None:
    for command in ("listAccounts", "listUsers"):
        assert names(world, command, "chief", listall=True, keyword="STRANGER") == set()
        assert names(world, command, "chief", listall=True, keyword="INNE") == {"inner"}
        assert names(world, command, "chief", keyword="inner") == set()
        assert names(world, command, "user", listall=True, keyword="other") == set()


def test_users_see_the_accounts_of_their_domain_when_a_setting_says_so(world: World) -> None:
    name, tests = "allow.user.view.all.domain.accounts", world.domains[TESTS]
    world.cloud.api("updateConfiguration", name=name, value="true", domainid=tests)
    try:
        assert names(world, "listAccounts", "user", listall=True) == {"user", "other", "chief"}
        assert names(world, "listAccounts", "user", domainid=tests) == {"user", "other", "chief"}
        assert names(world, "listAccounts", "user") == {"user"}
        assert names(world, "listAccounts", "stranger", listall=True) == {"stranger"}
    finally:
        world.cloud.api("resetConfiguration", name=name, domainid=tests)
    assert names(world, "listAccounts", "user", listall=True) == {"user"}
