"""Downloads from URLs that users name: never from an address inside that was not allowed.

A name is resolved once, every address that it has is checked, and the connection goes to the first of them that takes
one, so that a second answer of the name server changes nothing.  Each redirect is checked in the same way.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from pileus.core.netlists import Network, networks
from pileus.core.settings import declare

INTERNAL_SITES = declare(
    "secstorage.allowed.internal.sites",
    str,
    "",
    "networks (CIDR, by commas) from which users may have templates downloaded although their addresses are private, "
    "of loopback or of this link; root admins may name any address",
    check=networks,
)


def _checked_proxy(text: str) -> None:
    """Check the URL of a proxy (ValueError, saying what would be right)."""
    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if text and (parsed.scheme not in ("http", "https") or not parsed.host or parsed.path not in ("", "/")):
        raise ValueError("must look like http://PROXY:PORT or http://USER:PASSWORD@PROXY:PORT, or be empty")


PROXY = declare(
    "secstorage.proxy",
    str,
    "",
    "proxy (http://PROXY:PORT, perhaps with USER:PASSWORD@) by which templates are downloaded; empty: directly, "
    "whatever the server's environment says; names that cannot be resolved here are left to the proxy, which then "
    "decides what may be reached",
    secure=True,
    check=_checked_proxy,
)

MOST_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_ANYWHERE: Sequence[Network] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """A URL whose address may not be downloaded from."""


def refuse_internal(address: Address, allowed: Sequence[Network]) -> None:
    """Raise RefusedAddressError when an address is not one of the public Internet and in no allowed network."""
    address = _meant(address)
    if address.is_global and not address.is_multicast:
        return
    if any(address in network for network in allowed):
        return
    raise RefusedAddressError(
        f"{address} is an internal address: an operator may allow it by the setting {INTERNAL_SITES.name}"
    )


def refuse_internal_literal(url: str, allowed: Sequence[Network]) -> None:
    """Check a URL whose host is an address; of names nothing is known before they are resolved."""
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return
    refuse_internal(address, allowed)


@contextmanager
def download(
    url: str,
    *,
    allowed: Sequence[Network],
    trusted: Sequence[str] = (),
    named_by_admin: bool = False,
    proxy: str = "",
) -> Generator[httpx.Response]:
    """Open a GET of the URL as a stream; ``trusted``: certificates (PEM) that servers may be vouched for by.

    A URL that a root admin named may lead inside; where its server redirects to may not.
    Raises RefusedAddressError and httpx.HTTPError.  Proxies that the environment names are not used.
    """
    prepared = _by_name if proxy else _pinned
    with httpx.Client(verify=_context(trusted), timeout=_TIMEOUT, trust_env=False, proxy=proxy or None) as client:
        for hop in range(MOST_REDIRECTS + 1):
            requests = prepared(url, _ANYWHERE if named_by_admin and not hop else allowed)
            with closing(_answer(client, requests)) as answer:
                if not answer.has_redirect_location:
                    answer.raise_for_status()
                    yield answer
                    return
                url = urljoin(url, answer.headers["location"])
    raise httpx.TooManyRedirects(f"more than {MOST_REDIRECTS} redirects")


def _answer(client: httpx.Client, requests: Sequence[dict[str, Any]]) -> httpx.Response:
    """Return the first answer, as a stream: a server that has several addresses may not be reached by each."""
    *first, last = [client.build_request("GET", **each) for each in requests]
    for request in first:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return client.send(request, stream=True)
    return client.send(last, stream=True)


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise httpx.UnsupportedProtocol(f"{url[:200]!r} is not a URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise httpx.UnsupportedProtocol(f"templates come by http or https, not from {url[:200]!r}")
    return parsed


def _by_name(url: str, allowed: Sequence[Network]) -> list[dict[str, Any]]:
    """Return the request for a URL as a proxy gets it: by its name, which is checked when it is known here too."""
    parsed = _parsed(url)
    # Behind a proxy the names of the world are often not to be had: the proxy knows, and decides.
    with suppress(httpx.ConnectError):
        _resolve(parsed.host, 0, allowed)
    return [{"url": parsed, "headers": {"accept-encoding": "identity"}}]


def _pinned(url: str, allowed: Sequence[Network]) -> list[dict[str, Any]]:
    """Return the requests for a URL, addressed to the checked addresses instead of the name."""
    parsed = _parsed(url)
    addresses = _resolve(parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80), allowed)
    return [
        {
            "url": parsed.copy_with(host=str(address)),
            "headers": {"host": parsed.netloc.decode("ascii"), "accept-encoding": "identity"},
            "extensions": {"sni_hostname": parsed.raw_host.decode("ascii")},
        }
        for address in addresses
    ]


def _resolve(name: str, port: int, allowed: Sequence[Network]) -> list[Address]:
    """Return the addresses of a name, all of them checked."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"the name {name} cannot be resolved: {error}") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        refuse_internal(address, allowed)
    return list(dict.fromkeys(addresses))


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None) or address


def _context(trusted: Sequence[str]) -> ssl.SSLContext:
    """Return a context that trusts the well-known authorities, this machine's, and the given certificates."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    if trusted:
        context.load_verify_locations(cadata="\n".join(trusted))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate, too
    return context
