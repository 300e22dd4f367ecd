"""Every command, every role, somebody else's object: a reference to it is refused, and nothing happens to it.

The matrix is made from the registries, so it grows with them.
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
from pileus.core.errors import PermissionDenied
from pileus.core.parameters import Field
from tests.support.cloud import Cloud, Person
from tests.support.rows import Rows

plugins.load_all()

TEXT_BUT_CHECKED = {
    ("queryAsyncJobResult", "jobid"),  # refused as unknown: not even that it exists is told
    ("listRouters", "id"),  # the contract calls it a machine's; it is a router's, looked for among the own ones
    ("registerTemplate", "zoneid"),  # "-1" is every zone; zones are everybody's to name
    ("registerTemplate", "zoneids"),
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
    """A cloud with one object of each kind that belongs to the victim."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.victim = cloud.user
        self.callers: dict[str, Person] = {
            "a user of the same domain": cloud.other,
            "a user of another domain": cloud.stranger,
            "the admin of another domain": cloud.foreign_admin,
        }
        self._rows: dict[str, Row[Any]] = {}

    def object_of(self, kind: str) -> Row[Any]:
        """Return the victim's object of a kind."""
        if kind not in self._rows:
            self._rows[kind] = self._make(kind)
        return self._rows[kind]

    def _make(self, kind: str) -> Row[Any]:
        table = self.table(kind)
        with self.cloud.services.database.write() as db:
            account = self._account(db)
            own = {"Account": account.id, "Domain": account.domain_id}
            if kind in own:
                return db.execute(sa.select(table).where(table.c.id == own[kind])).one()
            if kind == "User":
                return db.execute(sa.select(table).where(table.c.account_id == account.id)).one()
            owned = {"account_id": account.id, "domain_id": account.domain_id}
            return Rows(db).make(table, **{name: value for name, value in owned.items() if name in table.c})

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
    for who, person in world.callers.items():
        caller = world.caller(person)
        if caller.role not in spec.roles:
            continue
        if field.wire.roles and caller.role not in field.wire.roles:
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
    before = world.object_of(kind)
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


def test_the_kinds_that_somebody_owns_are_refused_to_others(world: World):
    for kind in sorted(k for k in _kinds() if "account_id" in world.table(k).c):
        if world.table(kind).c.account_id.nullable and kind not in ("AsyncJob",):
            continue
        entity = entities.known(kind)
        assert entity is not None
        row = world.object_of(kind)
        for who, person in world.callers.items():
            caller = world.caller(person)
            with world.cloud.services.database.read() as db:
                assert not entity.use(db, caller, row), f"{who} may use the victim's {kind}"
                assert not entity.manage(db, caller, row), f"{who} may change the victim's {kind}"


def _kinds() -> set[str]:
    wire = contract.load().commands.values()
    return {p.ref for c in wire for p in c.params.values() if p.ref and entities.known(p.ref) is not None}


def test_no_reference_is_declared_as_text():
    declared_as_text = {
        (spec.name, field.name)
        for spec in commands.commands().values()
        for field in spec.fields.values()
        if field.wire.ref and "ref" not in field.kind
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
