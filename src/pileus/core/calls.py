"""A call: who asks, in which transaction, with which services at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from pileus.core import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pileus.core.commands import CommandSpec
    from pileus.core.services import Services

ADMIN, RESOURCE_ADMIN, DOMAIN_ADMIN, USER = "Admin", "ResourceAdmin", "DomainAdmin", "User"
ACCOUNT_TYPES = {USER: 0, ADMIN: 1, DOMAIN_ADMIN: 2, RESOURCE_ADMIN: 3}
"""Role type -> CloudStack's numeric account type."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The user who calls, with account and domain."""

    user_id: int
    user_uuid: str
    username: str
    account_id: int
    account_uuid: str
    account: str
    domain_id: int
    domain_uuid: str
    domain_path: str  # "/" for ROOT, "/a/b/" below
    role: str  # Admin ResourceAdmin DomainAdmin User
    role_id: int = 0
    projects: frozenset[int] = frozenset()  # the accounts of the projects that the user is a member of
    session: int = 0  # internal id of the session that the call came by; 0 = it came with a key
    verified: bool = True  # False = the session still waits for its second factor

    @property
    def admin(self) -> bool:
        """Tell whether this is a root admin."""
        return self.role == ADMIN

    @property
    def domain_admin(self) -> bool:
        """Tell whether this is an admin of a domain (and what is below it)."""
        return self.role == DOMAIN_ADMIN


class Success(msgspec.Struct, frozen=True):
    """The answer of a command that only succeeds."""

    text: str = ""


class Listed(msgspec.Struct, frozen=True):
    """The answer of a list command: the page's objects and the total."""

    items: list[dict[str, Any]]
    count: int


class Call:
    """One API call, inside its transaction."""

    def __init__(
        self,
        *,
        db: Connection,
        caller: Caller,
        services: Services,
        spec: CommandSpec,
        request: str = "",
        raw: dict[str, str] | None = None,
    ) -> None:
        self.db = db
        self.caller = caller
        self.services = services
        self.spec = spec
        self.request = request  # id of the request, in every log line, job and operation that it causes
        self.raw = raw or {}
        self.description = ""
        self.event_owner: tuple[int, int] | None = None  # account id, domain id of the object
        self.event_resource: tuple[str, str] | None = None  # type, uuid

    def describe(self, text: str, *, owner: Any = None, resource: tuple[str, str] | None = None) -> None:
        """Set the event's text, the object's owner (a row with account_id and domain_id) and its (type, uuid)."""
        self.description = text
        if owner is not None:
            self.event_owner = (owner.account_id, owner.domain_id)
        if resource is not None:
            self.event_resource = resource

    def submit(
        self,
        workflow: Callable[..., Any],
        *,
        key: str | None,
        instance: tuple[str, str] | None = None,
        owner: Any = None,
        deadline_seconds: float | None = None,
        **arguments: Any,
    ) -> jobs.Submission:
        """Start a durable job in this transaction.

        ``key``: jobs with the same key run one after another.  ``instance``: (type, uuid) of the object, such as
        ("VirtualMachine", uuid).  ``owner``: a row with account_id and domain_id when the object is not the caller's.
        ``deadline_seconds``: None = as the setting says.
        """
        from pileus.core import events, housekeeping

        if deadline_seconds is None:
            deadline_seconds = 60.0 * self.services.settings.get(housekeeping.JOB_MOST)

        if owner is not None:
            self.event_owner = (owner.account_id, owner.domain_id)
        if instance is not None:
            self.event_resource = instance
        return jobs.submit(
            self.db,
            workflow,
            key=key,
            arguments=arguments,
            cmd=self.spec.name,
            user_id=self.caller.user_id,
            account_id=self.caller.account_id,
            domain_id=self.caller.domain_id,
            role=self.caller.role,
            admin=self.caller.admin,
            instance_type=instance[0] if instance else None,
            instance_uuid=instance[1] if instance else None,
            event=events.scheduled(self) if self.spec.event else None,
            uuid=self.raw.get("customjobid"),
            deadline_seconds=deadline_seconds,
            request=self.request,
        )
