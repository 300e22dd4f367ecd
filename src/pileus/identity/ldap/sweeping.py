"""Now and then everybody who came by a link is looked up: keys of who has left must not live until the next sign-in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Row

from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.identity.ldap import config, links, making
from pileus.identity.ldap.directory import connect
from pileus.identity.ldap.errors import Unavailable
from pileus.identity.ldap.sign_in import disable, is_gone
from pileus.identity.ldap.tables import ldap_link
from pileus.identity.tables import domain, user

log = structlog.get_logger(__name__)


@periodic("identity.ldap", every=3600)
def sweep(services: Services) -> None:
    """Disable the users whom no link covers any more; a directory that does not answer changes nothing."""
    for domain_id in _linked(services):
        try:
            _look_up(services, domain_id)
        except Unavailable as error:
            log.warning("users of LDAP are not looked up: no server answers", domain=domain_id, why=str(error))


def _linked(services: Services) -> list[int]:
    found = sa.select(ldap_link.c.domain_id).join(domain, domain.c.id == ldap_link.c.domain_id).distinct()
    with services.database.read() as db:
        return list(db.execute(found.where(domain.c.removed.is_(None))).scalars())


def _look_up(services: Services, domain_id: int) -> None:
    with services.database.read() as db:
        linked = links.of_domain(db, domain_id)
        mine = (user.c.domain_id == domain_id, user.c.source == making.LDAP, user.c.state == "enabled")
        rows = db.execute(sa.select(user).where(*mine, user.c.removed.is_(None)).order_by(user.c.id)).all()
    if not linked or not rows:
        return
    gone: list[Row[Any]] = []
    with connect(config.load(services, domain_id)) as directory:
        for row in rows:
            if is_gone(row, links.place(directory, row.username, linked), linked):
                gone.append(row)
    if len(gone) == len(rows) > 1:
        log.error(
            "no user of LDAP is disabled: none is found any more, which looks like a wrong setting; see ldap.basedn",
            domain=domain_id,
        )
        return
    for row in gone:
        disable(services, row)
