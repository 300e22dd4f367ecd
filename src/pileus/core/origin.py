"""Where a request comes from: the peer's address, or what a trusted proxy says, and whether it may come from there."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

from pileus.core.netlists import networks, within
from pileus.core.services import Services
from pileus.core.settings import declare


def _some_networks(text: str) -> None:
    """Check a list of networks that must not be empty (ValueError): nobody at all could call."""
    if not networks(text):
        raise ValueError("must name a network (0.0.0.0/0,::/0 = everywhere)")


VERIFY = declare("proxy.header.verify", bool, False, "whether a proxy's word on where a request comes from is taken")
NAMES = declare(
    "proxy.header.names",
    str,
    "X-Forwarded-For,HTTP_CLIENT_IP,HTTP_X_FORWARDED_FOR",
    "headers, by commas, in which a proxy names the address that a request comes from; the first that is there counts",
)
PROXIES = declare(
    "proxy.cidr", str, "", "networks (CIDR, by commas) of the proxies whose headers count", check=networks
)
CHECKED = declare(
    "api.source.cidr.checks.enabled", bool, True, "whether the addresses that accounts may call from are checked"
)
ALLOWED = declare(
    "api.allowed.source.cidr.list",
    str,
    "0.0.0.0/0,::/0",
    "networks (CIDR, by commas) from which an account may sign in and call",
    scopes=("global", "account"),
    check=_some_networks,
)


SECURE_COOKIES = declare(
    "enable.secure.session.cookie",
    bool,
    False,
    "whether the cookies of sessions are always for encrypted connections only; without it they are where TLS is seen",
)


def address(services: Services, request: Request) -> str:
    """Return the address that a request comes from, "" when nobody knows."""
    peer = request.client.host if request.client else ""
    if not _by_proxy(services, peer):
        return peer
    proxies = networks(services.settings.get(PROXIES))
    for name in services.settings.get(NAMES).split(","):
        hops = [hop.strip() for value in request.headers.getlist(name.strip()) for hop in value.split(",")]
        # What stands on the left came with the request; each proxy has written down whom it saw at the right.
        known = [hop for hop in reversed(hops) if _is_address(hop)]
        if known:
            return next((hop for hop in known if not within(hop, proxies)), known[-1])
    return peer


def encrypted(services: Services, request: Request) -> bool:
    """Tell whether the client's connection is encrypted, to this server or a trusted proxy, or is to be taken as it."""
    if request.url.scheme == "https" or services.settings.get(SECURE_COOKIES):
        return True
    peer = request.client.host if request.client else ""
    return request.headers.get("x-forwarded-proto", "").lower() == "https" and _by_proxy(services, peer)


def admits(services: Services, account_id: int, source: str) -> bool:
    """Tell whether an account may call from an address."""
    read = services.settings.get
    if not read(CHECKED):
        return True
    allowed = read(ALLOWED, ("account", account_id))
    return allowed == ALLOWED.default or within(source, networks(allowed))


def _by_proxy(services: Services, peer: str) -> bool:
    return services.settings.get(VERIFY) and within(peer, networks(services.settings.get(PROXIES)))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
