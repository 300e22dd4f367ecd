"""The kinds of object that references to identity name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.core.database import one
from pileus.identity import store
from pileus.identity.ldap.tables import ldap_configuration
from pileus.identity.projects import access
from pileus.identity.projects.tables import project, project_invitation, project_role, project_role_permission
from pileus.identity.tables import account, domain, role, role_permission, ssh_key_pair, user, user_data


def _may_give(_db: Connection, caller: Caller, row: Row[Any]) -> bool:
    return caller.admin or (bool(row.is_public) and store.RANKS[row.type] <= store.RANKS[caller.role])


def _sees_server(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may see a server of LDAP: those of the domains that the caller may name."""
    if caller.admin or row.domain_id is None:
        return caller.admin
    return store.uses_domain(db, caller, one(db, domain, row.domain_id))


def register() -> None:
    """Register them."""
    entities.domain_table(domain)
    entities.register("Domain", domain, "domain", use=store.uses_domain, manage=store.manages_domain)
    entities.register("Account", account, "account", use=store.uses_account, manage=store.manages_account)
    entities.register("SSHKeyPair", ssh_key_pair, "SSH key pair")
    entities.register("UserData", user_data, "user data")
    entities.register("User", user, "user", use=store.uses_user, manage=store.manages_user)
    entities.register("Role", role, "role", use=_may_give, manage=entities.admin_only)
    entities.register(
        "LdapConfiguration", ldap_configuration, "server of LDAP", use=_sees_server, manage=entities.admin_only
    )
    entities.register("RolePermission", role_permission, "rule of a role", use=entities.admin_only)
    entities.register("Project", project, "project", use=store.uses_project, manage=store.manages_project)
    entities.register("ProjectRole", project_role, "project role", use=access.uses_part, manage=access.manages_part)
    entities.register(
        "ProjectRolePermission",
        project_role_permission,
        "rule of a project role",
        use=access.uses_part,
        manage=access.manages_part,
    )
    entities.register(
        "ProjectInvitation",
        project_invitation,
        "invitation to a project",
        use=access.uses_invitation,
        manage=access.manages_part,
    )
