"""Commands: declared once as a class, found by name, run in one transaction.

A command class has annotated attributes named as the API's parameters (an attribute without default is required), a
docstring that says what it does, and ``run``.  From it come conversion, validation, the check of every reference, the
default roles, ``listApis`` and the reference pages.  Types, roles and answer keys are those of the contract.

Phases: ``check`` (syntax beyond types, no database), ``prepare`` (slow work outside any transaction, such as hashing a
password), then in one transaction the references and rights, and ``run``: rules of the moment first, then the change;
``finishup`` (after the commit, for synchronous commands that wait for a host).
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

import msgspec

from pileus.core import contract, entities, parameters, permissions
from pileus.core.calls import Call, Listed, Success
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Field

__all__ = ["Command", "CommandSpec", "Listed", "Success", "command", "commands", "find"]


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the core knows of one command."""

    name: str
    cls: type[Command]
    wire: contract.CommandContract
    event: str
    roles: frozenset[str]
    fields: dict[str, Field]
    later: frozenset[str]  # parameters of the contract that are refused by name until they are built
    reads: bool  # runs in a read transaction
    at_once: bool  # waits for nothing but the database
    description: str


class Command:
    """Base of all commands."""

    spec: ClassVar[CommandSpec]

    def check(self) -> None:
        """Check what can be checked without the database."""

    def complete(self, services: Any) -> None:
        """Fill in and check what settings say of the parameters: waits for nothing."""

    def prepare(self, services: Any) -> None:
        """Do slow work before the transaction."""

    def run(self, call: Call) -> Any:
        """Do it: return a dict (object), Listed, Success or a job's Submission."""
        raise NotImplementedError(f"{self.spec.name} has no run method")

    def finishup(self, services: Any, result: Any) -> Any:
        """Return the answer, after the commit: a synchronous command may wait here for the job that it submitted."""
        return result


_commands: dict[str, CommandSpec] = {}
_C = typing.TypeVar("_C", bound=Command)


def command(
    name: str,
    *,
    event: str = "",
    roles: Iterable[str] | None = None,
    manage: Iterable[str] | None = None,
    reads: bool | None = None,
    ignored: Iterable[str] = (),
) -> Callable[[type[_C]], type[_C]]:
    """Register a command class under its API name.

    ``manage``: references whose object the caller must own (default: ``id`` of commands that change something).
    ``ignored``: parameters of the contract that have no meaning here and may be passed without effect.
    """

    def register(cls: type[_C]) -> type[_C]:
        wire = contract.load().commands.get(name)
        if wire is None:
            raise ValueError(f"{name} is not a command of the contract")
        read_only = reads if reads is not None else name.startswith(("list", "get", "query", "find"))
        managed = set(manage) if manage is not None else (set[str]() if read_only else {"id"})
        fields = {field.name: field for field in _declared(cls, wire, managed)}
        known = {p.lower() for p in wire.params}
        cls.spec = CommandSpec(
            name=name,
            cls=cls,
            wire=wire,
            event=event,
            roles=frozenset(roles if roles is not None else wire.roles) | {"Admin"},
            fields=fields,
            later=frozenset(known - set(fields) - {p.lower() for p in ignored}),
            reads=read_only,
            at_once=cls.prepare is Command.prepare and cls.finishup is Command.finishup,
            description=" ".join((cls.__doc__ or "").split()),
        )
        _commands[name] = cls.spec
        return cls

    return register


def _declared(cls: type[Command], wire: contract.CommandContract, managed: set[str]) -> Iterable[Field]:
    """Yield the declared parameters, base classes first."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not Command and issubclass(base, Command):
            hints.update(dict.fromkeys(getattr(base, "__annotations__", {})))
    resolved = typing.get_type_hints(cls, include_extras=True)
    lowered = {n.lower(): p for n, p in wire.params.items()}
    for name in hints:
        hint = resolved[name]
        if typing.get_origin(hint) is ClassVar or name.startswith("_"):
            continue
        parameter = name.lower()
        if parameter not in lowered:
            if name in _SHARED:
                continue  # a base class offers it, this command's contract does not
            raise ValueError(f"{cls.__name__}.{name}: the contract has no such parameter")
        default = getattr(cls, name, ...)
        kind = parameters.kind_of(hint)
        if kind == "entries" and lowered[parameter].type != "map" and name in _SHARED:
            continue  # another thing of the same name
        ref_kind = lowered[parameter].ref
        if "ref" in kind and not ref_kind:
            raise ValueError(f"{cls.__name__}.{name}: the contract does not say what it refers to")
        yield Field(
            name=parameter,
            kind=kind,
            required=default is ...,
            default=None if default is ... else default,
            wire=lowered[parameter],
            manage=parameter in managed,
        )


_SHARED = {
    "page",
    "pagesize",
    "keyword",
    "account",
    "domainid",
    "isrecursive",
    "listall",
    "projectid",
    "ids",
    "tags",
    "showicon",
    "retrieveonlyresourcecount",
}


def commands() -> dict[str, CommandSpec]:
    """Return every registered command by name."""
    return _commands


def find(name: str) -> CommandSpec | None:
    """Return the command of this name, if there is one."""
    return _commands.get(name)


def build(spec: CommandSpec, raw: dict[str, str]) -> Command:
    """Return the command object with converted parameters (references still text).

    ``raw``: lower-cased names of the request, maps as ``name[i].field``.
    """
    for name in raw:
        base = name.split("[", 1)[0]
        if base in spec.later:
            raise InvalidParameter(f"parameter {base} of {spec.name} is not supported by this server yet; leave it out")
    maps = parameters.gather_maps(raw)
    instance = spec.cls()
    for field in spec.fields.values():
        setattr(instance, field.name, parameters.convert(field, raw, maps))
    instance.check()
    return instance


def resolve(spec: CommandSpec, instance: Command, call: Call) -> None:
    """Replace every reference by its row, checked for the caller."""
    for field in spec.fields.values():
        if field.wire.roles and call.caller.role not in field.wire.roles and not call.caller.admin:
            setattr(instance, field.name, field.default)  # not theirs to pass: as if it were absent
            continue
        if "ref" not in field.kind:
            continue
        value = getattr(instance, field.name)
        if field.kind == parameters.REF_OR_ALL and value == parameters.ALL:
            continue
        if value is None or value == []:
            continue
        if entities.known(field.wire.ref) is None:
            raise InvalidParameter(f"parameter {field.name}: there is no {field.wire.ref} on this server yet")

        def one(text: str, field: Field = field) -> Any:
            return entities.resolve(
                call.db, call.caller, field.wire.ref, text, parameter=field.name, manage=field.manage
            )

        found = [one(text) for text in value] if field.kind == "list[ref]" else one(value)
        for row in cast(list[Any], found if field.kind == "list[ref]" else [found]):
            if not permissions.project_allows(call.db, call.caller, row, spec.name):
                raise PermissionDenied(
                    f"parameter {field.name}: the project role of {call.caller.account} does not allow {spec.name}",
                    uuids=((row.uuid, field.name),),
                )
        setattr(instance, field.name, found)
