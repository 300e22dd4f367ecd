"""Every command, every kind of caller, every kind of object: own, foreign, a project's, deleted, and none at all.

The matrix is made from the registries, so it grows with them.  The victim lives in a domain of the second level; its
callers are the root admin, the admins of the domain, of the one above it and of the one beside it, users of the same
and of another domain, a member of the victim's project, and nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import authentication, commands, contract, entities, plugins
from pileus.core.calls import Call, Caller
from pileus.core.commands import CommandSpec
from pileus.core.database import now
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Field
from tests.support.cloud import Cloud, Person
from tests.support.rows import Rows

plugins.load_all()

TEXT_BUT_CHECKED = {
    ("queryAsyncJobResult", "jobid"),  # refused as unknown: not even that it exists is told
    ("listRouters", "id"),  # the contract calls it a machine's; it is a router's, looked for among the own ones
    ("registerTemplate", "zoneid"),  # "-1" is every zone; zones are everybody's to name
    ("registerTemplate", "zoneids"),
    ("deleteUserFromProject", "userid"),  # looked for among the project's members only
    ("listProjectAccounts", "userid"),
    ("updateProject", "userid"),
    ("updateProjectInvitation", "projectid"),  # who is invited is no member yet: refused without an invitation
    ("createNetworkPermissions", "accountids"),  # users share with accounts of their domain, which are not theirs
    ("removeNetworkPermissions", "accountids"),
    ("listAsyncJobs", "managementserverid"),  # for root admins only
    ("listHosts", "managementserverid"),  # servers are rows of the job engine, known by name to those who list hosts
}
"""Parameters that name an object and are declared as text, because the command looks after them itself."""

REFERENCES = [
    (spec.name, field.name)
    for _, spec in sorted(commands.commands().items())
    for field in spec.fields.values()
    if "ref" in field.kind and entities.known(field.wire.ref) is not None
]
GUESSES = {
    "name": "x",
    "gateway": "10.9.0.1",
    "netmask": "255.255.255.0",
    "startip": "10.9.0.10",
    "endip": "10.9.0.20",
    "cidrlist": "10.9.0.0/24",
    "protocol": "tcp",
    "hypervisor": "KVM",
    "networktype": "Advanced",
    "traffictype": "Guest",
    "url": "http://host.test/",
    "ostypeid": "1",
    "templatefilter": "all",
}
KINDS = {"str": "x", "int": "1", "float": "1", "bool": "true", "date": "2030-01-01", "map": "", "entries": ""}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Cloud.start(tmp_path_factory.mktemp("matrix")) as cloud:
        yield World(cloud)


class World:
    """A cloud with one object of each kind that belongs to the victim, and one that belongs to the victim's project."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        upper = cloud.domain("upper")["id"]
        for name in ("inner", "beside"):
            cloud.domain(name, upper)
        self.victim = cloud.person("victim", domain="inner")
        self.mate = cloud.person("mate", domain="inner")
        self.callers: dict[str, Person] = {
            "a user of the same domain": cloud.person("neighbour", domain="inner"),
            "a user of another domain": cloud.person("stranger", domain="beside"),
            "the admin of a sibling domain": cloud.person("governor", type_=2, domain="beside"),
        }
        self.rulers: dict[str, Person] = {
            "the root admin": cloud.root,
            "the admin of the domain": cloud.person("chief", type_=2, domain="inner"),
            "the admin of the domain above": cloud.person("emperor", type_=2, domain="upper"),
        }
        self.project = cloud.job("createProject", self.victim, name="apollo", displaytext="a project")["id"]
        cloud.job("addAccountToProject", self.victim, projectid=self.project, account="mate")
        self._rows: dict[tuple[str, str], Row[Any]] = {}

    def object_of(self, kind: str, what: str = "own") -> Row[Any]:
        """Return the victim's object of a kind: "own", a "project"'s, or one that is "deleted"."""
        if (kind, what) not in self._rows:
            self._rows[kind, what] = self._make(kind, what)
        return self._rows[kind, what]

    def _make(self, kind: str, what: str) -> Row[Any]:
        table = self.table(kind)
        with self.cloud.services.database.write() as db:
            account = self._account(db)
            own = {"Account": account.id, "Domain": account.domain_id}
            project = db.execute(
                sa.select(self.table("Project")).where(self.table("Project").c.uuid == self.project)
            ).one()
            if what != "deleted":
                if kind in own:
                    return db.execute(sa.select(table).where(table.c.id == own[kind])).one()
                if kind == "User":
                    return db.execute(sa.select(table).where(table.c.account_id == account.id)).one()
                if kind == "Project":
                    return project
            facts: dict[str, Any] = {
                "account_id": project.account_id if what == "project" else account.id,
                "domain_id": account.domain_id,
                "project_id": project.id,
                "role_type": "User",
            }
            if kind == "Role":
                facts["type"] = "User"
            if kind == "Project":
                facts["account_id"] = Rows(db).make(self.table("Account"), role_type="Project").id
            if what == "deleted":
                facts["removed"] = now()
            return Rows(db).make(table, **{name: value for name, value in facts.items() if name in table.c})

    def _account(self, db: sa.Connection) -> Row[Any]:
        table = self.table("Account")
        return db.execute(sa.select(table).where(table.c.uuid == self.victim.account["id"])).one()

    @staticmethod
    def table(kind: str) -> sa.Table:
        """Return the table of a kind."""
        entity = entities.known(kind)
        assert entity is not None
        return entity.table

    def caller(self, person: Person) -> Caller:
        """Return the person as the edge sees it."""
        key = authentication.identity().by_key(self.cloud.services, person.apikey)
        assert key is not None
        return key.caller

    def now(self, kind: str) -> Row[Any]:
        """Return the victim's object as it is now."""
        table = self.table(kind)
        with self.cloud.services.database.read() as db:
            return db.execute(sa.select(table).where(table.c.id == self.object_of(kind).id)).one()


def spec_of(command: str) -> CommandSpec:
    spec = commands.find(command)
    assert spec is not None
    return spec


def may(world: World, caller: Caller, field: Field, row: Row[Any]) -> bool:
    """Tell whether the rules of the kind allow it (an offering or a zone is everybody's to use)."""
    entity = entities.known(field.wire.ref)
    assert entity is not None
    with world.cloud.services.database.read() as db:
        return (entity.manage if field.manage else entity.use)(db, caller, row)


@pytest.mark.parametrize(("command", "parameter"), REFERENCES)
def test_a_foreign_reference_is_refused(world: World, command: str, parameter: str):
    spec = spec_of(command)
    field = spec.fields[parameter]
    row = world.object_of(field.wire.ref)
    for who, person in {**world.callers, **world.rulers, "a fellow member": world.mate}.items():
        caller = world.caller(person)
        if caller.role not in spec.roles:
            continue
        if field.wire.roles and caller.role not in field.wire.roles and not caller.admin:
            continue  # ignored when this role passes it
        instance = spec.cls()
        for name, other in spec.fields.items():
            setattr(instance, name, other.default)
        setattr(instance, parameter, [row.uuid] if field.kind == "list[ref]" else row.uuid)
        allowed = may(world, caller, field, row)
        with world.cloud.services.database.read() as db:
            call = Call(db=db, caller=caller, services=world.cloud.services, spec=spec)
            if allowed:
                commands.resolve(spec, instance, call)
            else:
                with pytest.raises(PermissionDenied) as refused:
                    commands.resolve(spec, instance, call)
                assert parameter in refused.value.text, who


@pytest.mark.parametrize(("command", "parameter"), REFERENCES)
def test_nothing_happens_to_a_foreign_object(world: World, command: str, parameter: str):
    spec = spec_of(command)
    field = spec.fields[parameter]
    kind = field.wire.ref
    world.object_of(kind)
    before = world.now(kind)
    for who, person in world.callers.items():
        caller = world.caller(person)
        if may(world, caller, field, before):
            continue
        parameters = {parameter: before.uuid} | {
            name: _guess(world, other)
            for name, other in spec.fields.items()
            if other.required and name != parameter and other.kind not in ("map", "entries")
        }
        if field.wire.roles and caller.role not in field.wire.roles:
            continue
        answer = world.cloud.request(command, person, **parameters)
        assert answer.status_code in (401, 431, 531), f"{who}: {answer.status_code} {answer.text}"
        assert world.now(kind) == before, who


def _guess(world: World, field: Field) -> str:
    if "ref" in field.kind:
        if entities.known(field.wire.ref) is None:
            return "00000000-0000-4000-8000-000000000000"
        return world.object_of(field.wire.ref).uuid
    return GUESSES.get(field.name) or KINDS.get(field.kind.removeprefix("list[").removesuffix("]"), "x")


ADMINS_ONLY = {"DomainRouter"}
"""Kinds that ordinary users do not reach, even their own."""

OWNED = sorted(
    kind
    for kind in {p.ref for c in contract.load().commands.values() for p in c.params.values() if p.ref}
    if (entity := entities.known(kind)) is not None
    and "account_id" in entity.table.c
    and (not entity.table.c.account_id.nullable or kind == "AsyncJob")
)


def reaches(world: World, kind: str, person: Person, row: Row[Any]) -> tuple[bool, bool]:
    """Tell whether somebody may use and may change an object."""
    entity = entities.known(kind)
    assert entity is not None
    caller = world.caller(person)
    with world.cloud.services.database.read() as db:
        return entity.use(db, caller, row), entity.manage(db, caller, row)


@pytest.mark.parametrize("kind", OWNED)
def test_what_somebody_owns_is_reached_by_the_owner_and_who_rules_over_it(world: World, kind: str):
    row = world.object_of(kind)
    for who, person in world.callers.items():
        assert reaches(world, kind, person, row) == (False, False), f"{who} reaches the victim's {kind}"
    for who, person in world.rulers.items():
        assert reaches(world, kind, person, row) == (True, True), f"{who} does not reach the victim's {kind}"
    users = kind not in ADMINS_ONLY
    assert reaches(world, kind, world.victim, row) == (users, users), f"the victim does not reach its own {kind}"
    if kind != "Project":
        assert reaches(world, kind, world.mate, row) == (False, False), f"a fellow member reaches the victim's {kind}"


@pytest.mark.parametrize("kind", [kind for kind in OWNED if kind not in ("Project", "User")])
def test_what_a_project_owns_is_reached_by_its_members(world: World, kind: str):
    row = world.object_of(kind, "project")
    users = kind not in ADMINS_ONLY
    for member in (world.victim, world.mate):
        assert reaches(world, kind, member, row) == (users, users), f"{member.name} does not reach the project's {kind}"
    for who, person in world.callers.items():
        assert reaches(world, kind, person, row) == (False, False), f"{who} reaches the project's {kind}"
    for who, person in world.rulers.items():
        assert reaches(world, kind, person, row) == (True, True), f"{who} does not reach the project's {kind}"


def test_only_its_admins_change_a_project(world: World):
    for kind in ("Project", "ProjectRole", "ProjectRolePermission"):
        row = world.object_of(kind)
        assert reaches(world, kind, world.victim, row) == (True, True)
        assert reaches(world, kind, world.mate, row) == (True, False), kind
        for who, person in world.callers.items():
            assert reaches(world, kind, person, row) == (False, False), f"{who}: {kind}"


MALFORMED = ("nothing", "00000000-0000-4000-8000-00000000000", "-2", "1 OR 1=1", "0x1", "é", "9" * 40)


@pytest.mark.parametrize(("command", "parameter"), REFERENCES)
def test_what_is_deleted_or_malformed_names_nothing(world: World, command: str, parameter: str):
    spec = spec_of(command)
    field = spec.fields[parameter]
    entity = entities.known(field.wire.ref)
    assert entity is not None
    texts = [*MALFORMED, "00000000-0000-4000-8000-000000000000"]
    if entity.alive is not None and "removed" in entity.table.c:
        texts.append(world.object_of(field.wire.ref, "deleted").uuid)
    for person in (*world.rulers.values(), world.victim, *world.callers.values()):
        caller = world.caller(person)
        if field.wire.roles and caller.role not in field.wire.roles and not caller.admin:
            continue
        with world.cloud.services.database.read() as db:
            call = Call(db=db, caller=caller, services=world.cloud.services, spec=spec)
            for text in texts:
                instance = spec.cls()
                for name, other in spec.fields.items():
                    setattr(instance, name, other.default)
                setattr(instance, parameter, [text] if field.kind == "list[ref]" else text)
                with pytest.raises(InvalidParameter) as refused:
                    commands.resolve(spec, instance, call)
                assert parameter in refused.value.text, f"{person.name}: {text}"


def test_no_reference_is_declared_as_text():
    declared_as_text = {
        (spec.name, field.name)
        for spec in commands.commands().values()
        for field in spec.fields.values()
        if field.wire.ref
        and "ref" not in field.kind
        # Kinds that the core has no table of (servers) are nobody's, and root admins' to name.
        and (entities.known(field.wire.ref) is not None or spec.roles != {"Admin"})
    }
    assert declared_as_text <= TEXT_BUT_CHECKED


def test_a_command_is_closed_to_roles_that_the_contract_does_not_name():
    for spec in commands.commands().values():
        assert spec.roles <= set(spec.wire.roles) | {"Admin"}, spec.name


def test_the_unsigned_reach_nothing(tmp_path: Path):
    with Cloud.start(tmp_path) as cloud:
        for spec in commands.commands().values():
            if not spec.wire.anonymous:
                assert cloud.request(spec.name, None).status_code == 401, spec.name
