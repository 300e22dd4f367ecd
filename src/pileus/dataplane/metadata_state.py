"""A router's desired state -> what its metadata service serves, as the file that the metadata process reads."""

from __future__ import annotations

import msgspec

from pileus.dataplane.metadata import Guest
from pileus.wire.router import GuestHost, RouterSpec

_KEYS = (
    "service-offering",
    "availability-zone",
    "local-ipv4",
    "local-hostname",
    "public-ipv4",
    "public-hostname",
    "instance-id",
    "vm-id",
    "public-keys",
    "cloud-identifier",
)


def render_service(spec: RouterSpec, namespace: str) -> bytes:
    """Render where the service listens (a namespace and an address), and its machines by address; JSON."""
    shared = next((public.address for public in spec.public_addresses if public.source_nat), "")
    own = {public.static_nat: public.address for public in spec.public_addresses if public.static_nat}
    guests = {
        host.address: Guest(
            metadata=_metadata(host, own.get(host.address, shared)),
            user_data=host.user_data,
            password=host.password,
            password_id=host.password_id,
        )
        for host in spec.hosts
    }
    state = {"namespace": namespace, "address": spec.guest.address, "guests": guests}
    return msgspec.json.encode(state)


def _metadata(host: GuestHost, public: str) -> dict[str, str]:
    known = dict.fromkeys(_KEYS, "")
    known |= {"local-ipv4": host.address, "local-hostname": host.name}
    known |= {"public-ipv4": public, "public-hostname": public, "public-keys": "\n".join(host.public_keys)}
    return known | host.metadata
