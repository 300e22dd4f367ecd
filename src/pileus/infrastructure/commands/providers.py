"""Commands of network service providers and of the virtual router's element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import model, network_views, workflows
from pileus.infrastructure.tables import router_element, service_provider


@command("listNetworkServiceProviders")
class ListProviders(ListCommand):
    """List network service providers."""

    physicalnetworkid: Ref | None = None
    name: str | None = None
    state: str | None = None

    def query(self, call: Call) -> Query:
        """Return the providers that match."""
        columns = service_provider.c
        query = Query(service_provider).equals(columns.physical_network_id, self.physicalnetworkid)
        query.same(columns.name, self.name).same(columns.state, self.state)
        return query.contains(self.keyword, columns.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the providers."""
        return network_views.providers(call.db, rows, admin=call.caller.admin)


@command("updateNetworkServiceProvider", event="SERVICE.PROVIDER.UPDATE")
class UpdateProvider(Command):
    """Enable or disable a provider; the virtual router must be configured (enabled) first."""

    id: Ref
    state: str | None = None
    servicelist: list[str] | None = None

    def check(self) -> None:
        """Check the state, and that all services of the provider stay together."""
        if self.state is not None:
            self.state = model.one_of("state", self.state, (model.ENABLED, model.DISABLED))
        if self.servicelist and {s.lower() for s in self.servicelist} != {s.lower() for s in network_views.SERVICES}:
            raise InvalidParameter(
                "parameter servicelist: the provider's services cannot be chosen one by one; leave it out or give "
                f"{', '.join(network_views.SERVICES)}"
            )

    def run(self, call: Call) -> Any:
        """Change the state."""
        row = self.id
        if self.state == model.ENABLED:
            ready = sa.select(router_element.c.enabled).where(router_element.c.provider_id == row.id)
            if not call.db.execute(ready).scalar_one_or_none():
                raise InvalidParameter(
                    f"provider {row.name} is not ready: enable its element with configureVirtualRouterElement first"
                )
        if self.state is not None:
            database.change(call.db, service_provider, row.id, state=self.state)
        call.describe(f"changing network service provider {row.name}")
        return call.submit(
            workflows.show,
            key=f"physicalnetwork:{row.physical_network_id}",
            instance=("PhysicalNetworkServiceProvider", row.uuid),
            kind="networkserviceprovider",
            row_id=row.id,
        )


@command("createVirtualRouterElement", event="NETWORK.ELEMENT.CONFIGURE", manage=("nspid",))
class CreateElement(Command):
    """Create the virtual router's element of a provider that has none (a new physical network has one already)."""

    nspid: Ref

    def run(self, call: Call) -> Any:
        """Insert the element; the job shows it."""
        known = sa.select(router_element.c.uuid).where(router_element.c.provider_id == self.nspid.id)
        uuid = call.db.execute(known).scalar_one_or_none()
        if uuid is not None:
            raise InvalidParameter(
                f"parameter nspid: provider {self.nspid.name} has its element {uuid} already; "
                "enable it with configureVirtualRouterElement"
            )
        uuid = database.new_uuid()
        id_ = database.insert(call.db, router_element, uuid=uuid, provider_id=self.nspid.id, enabled=False)
        call.describe("creating a virtual router element")
        return _shown(call, id_, uuid)


@command("configureVirtualRouterElement", event="NETWORK.ELEMENT.CONFIGURE")
class ConfigureElement(Command):
    """Enable or disable the virtual router's element."""

    id: Ref
    enabled: bool

    def run(self, call: Call) -> Any:
        """Change it; the job shows it."""
        database.change(call.db, router_element, self.id.id, enabled=self.enabled)
        call.describe(f"{'enabling' if self.enabled else 'disabling'} a virtual router element")
        return _shown(call, self.id.id, self.id.uuid)


def _shown(call: Call, id_: int, uuid: str) -> Any:
    return call.submit(
        workflows.show,
        key=f"routerelement:{id_}",
        instance=("VirtualRouterElement", uuid),
        kind="virtualrouterelement",
        row_id=id_,
    )


@command("listVirtualRouterElements")
class ListElements(ListCommand):
    """List virtual router elements."""

    id: Ref | None = None
    nspid: Ref | None = None
    enabled: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the elements that match (there is no name for a keyword to be part of)."""
        columns = router_element.c
        query = Query(router_element).equals(columns.id, self.id).equals(columns.provider_id, self.nspid)
        query.contains(self.keyword, columns.uuid)
        return query.equals(columns.enabled, self.enabled)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the elements."""
        return network_views.elements(call.db, rows, admin=call.caller.admin)
