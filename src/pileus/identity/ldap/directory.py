"""A directory: finding users, asking for memberships, trying a password; every wait has a limit.

The library is loaded with the first question.  Nobody here may hold a transaction: a server may take its time.
"""

from __future__ import annotations

import importlib
import math
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import structlog

from pileus.identity.ldap import trust
from pileus.identity.ldap.config import Config
from pileus.identity.ldap.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 2.0
MOST = 20_000
"""Entries that one list reads at most."""

_SHUNNED = 30.0
"""Seconds for which a server that did not answer is asked after the others."""

_NESTED = "1.2.840.113556.1.4.1941"  # LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] 3.1.1.3.4.4.3
_PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
_SUCCESS, _NO_SUCH_OBJECT = 0, 32
_failed: dict[tuple[str, int], float] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the directory."""

    dn: str
    names: tuple[str, ...]  # values of the attribute with the name to sign in with
    email: str
    firstname: str
    lastname: str

    @property
    def name(self) -> str:
        """Return the name of the cloud's user."""
        return self.names[0]


class Directory:
    """A connection to one server, signed in as the cloud's own entry."""

    def __init__(self, config: Config, server: Any, connection: Any) -> None:
        self.config = config
        self._server = server
        self._connection = connection

    def close(self) -> None:
        """End the connection."""
        _close(self._connection)

    def user(self, username: str, *, base: str = "") -> Entry | None:
        """Return the one user of this name (below ``base``, else ldap.basedn); of several none is taken."""
        of = self.config
        found = self._users(f"({of.username}={escape(username)})", base or of.basedn, most=2)
        # A server's comparison ignores more than the case of letters: who signs in spells the name as it stands there.
        fitting = [each for each in found if username.casefold() in (name.casefold() for name in each.names)]
        if len(fitting) != 1 or len(found) != 1:
            if found:
                log.warning("sign-in by LDAP: the name fits several entries, or is spelled differently", name=username)
            return None
        return fitting[0]

    def users(self, part: str = "", *, base: str = "") -> list[Entry]:
        """Return the users (below ``base``, else ldap.basedn) with ``part`` in their names."""
        of = self.config
        wanted = f"({of.username}=*{escape(part)}*)" if part else f"({of.username}=*)"
        return self._users(wanted, base or of.basedn, most=MOST)

    def group(self, name: str) -> str | None:
        """Return the DN of the group of this name (cn), or with this DN."""
        of = self.config
        kind = f"(objectClass={of.group_object})"
        if "=" in name:
            found = self._search(name, kind, "BASE", (), 1)
        else:
            found = self._search(of.basedn, f"(&{kind}(cn={escape(name)}))", "SUBTREE", (), 2)
        return found[0]["dn"] if len(found) == 1 else None

    def is_member(self, dn: str, group: str) -> bool:
        """Tell whether a user is in a group, as the user's entry says or the group's."""
        of = self.config
        rule = f":{_NESTED}:" if of.nested else ""
        if self._search(dn, f"({of.memberof}{rule}={escape(group)})", "BASE", (), 1):
            return True
        return bool(self._search(group, f"({of.member}={escape(dn)})", "BASE", (), 1))

    def is_password(self, dn: str, password: str) -> bool:
        """Tell whether a user has this password.

        Without one a server would let anybody in, as nobody in particular (RFC 4513, 5.1.2): it is refused before.  The
        bytes go as they are: preparing the text could make nothing of a password of invisible characters.
        """
        secret = password.encode()
        if not secret or not dn:
            return False
        with _calls():
            connection = _connection(self.config, self._server, dn, secret)
            try:
                return bool(connection.bind()) and connection.result["result"] == _SUCCESS
            finally:
                _close(connection)

    def _users(self, wanted: str, base: str, *, most: int) -> list[Entry]:
        of = self.config
        names = (of.username, of.email, of.firstname, of.lastname)
        found = self._search(base, filter_of(of, wanted), "SUBTREE", names, most)
        return [entry for each in found if (entry := self._entry(each)).names]

    def _entry(self, found: Any) -> Entry:
        given = {name.lower(): values for name, values in found["raw_attributes"].items()}

        def texts(name: str) -> tuple[str, ...]:
            decoded = (value.decode("utf-8", "replace") for value in given.get(name.lower(), ()))
            return tuple(text[:255] for text in decoded if text.isprintable())

        of = self.config
        return Entry(
            dn=found["dn"],
            names=texts(of.username),
            email=next(iter(texts(of.email)), ""),
            firstname=next(iter(texts(of.firstname)), ""),
            lastname=next(iter(texts(of.lastname)), ""),
        )

    def _search(self, base: str, wanted: str, scope: str, names: Sequence[str], most: int) -> list[Any]:
        """Return entries, page by page; none where the base does not exist."""
        found: list[Any] = []
        cookie: Any = None
        size = min(self.config.page_size, most) if scope != "BASE" else None
        with _calls():
            while True:
                self._connection.search(
                    base, wanted, scope, attributes=list(names) or ["1.1"], paged_size=size, paged_cookie=cookie
                )
                result = self._connection.result
                if result["result"] == _NO_SUCH_OBJECT:
                    return []
                if result["result"] != _SUCCESS:
                    raise Unavailable(f"the directory refuses to search {base!r}: {result['description']}")
                found += [each for each in self._connection.response if each["type"] == "searchResEntry"]
                controls: dict[str, Any] = result.get("controls") or {}
                paged: dict[str, Any] = controls.get(_PAGED, {}).get("value", {})
                cookie = paged.get("cookie")
                if not cookie or len(found) >= most:
                    return found


@contextmanager
def connect(config: Config) -> Generator[Directory]:
    """Sign in at the first server that answers, those that lately did not last; raises Unavailable when none does."""
    moment = time.monotonic()
    in_turn = sorted(config.servers, key=lambda each: _failed.get(each, 0.0) > moment)
    reasons: list[str] = []
    for place in in_turn:
        try:
            directory = _first(config, place, lambda server: _open(config, server))
        except Unavailable as error:
            _failed[place] = time.monotonic() + _SHUNNED
            reasons.append(f"{place[0]}:{place[1]}: {error}")
            continue
        _failed.pop(place, None)
        try:
            yield directory
        finally:
            directory.close()
        return
    raise Unavailable("; ".join(reasons) or "no server is set up; add one with addLdapConfiguration")


def probe(config: Config) -> None:
    """Check that the (one) server takes connections; raises Unavailable."""
    _first(config, config.servers[0], lambda server: _reach(config, server))


def _reach(config: Config, server: Any) -> None:
    with _calls():
        connection = _library().Connection(server, receive_timeout=_whole(config))
        try:
            connection.open()
        finally:
            _close(connection)


def escape(text: str) -> str:
    """Return a text as a value in a filter (RFC 4515)."""
    return "".join(f"\\{byte:02x}" if byte in b"\\*()\x00" or byte > 126 else chr(byte) for byte in text.encode())


def filter_of(config: Config, wanted: str) -> str:
    """Return the filter that finds users of the cloud who fit ``wanted`` (a filter)."""
    within = ""
    if config.search_group:
        rule = f":{_NESTED}:" if config.nested else ""
        within = f"({config.memberof}{rule}={escape(config.search_group)})"
    return f"(&(objectClass={config.user_object}){wanted}{within})"


def below(dn: str, top: str) -> bool:
    """Tell whether an entry is the one with DN ``top``, or below it."""
    whole, end = parts(dn), parts(top)
    return bool(end) and whole[-len(end) :] == end


def parts(dn: str) -> list[tuple[str, str]]:
    """Return a DN's parts in lower case, the nearest first (ValueError when it is none)."""
    library = importlib.import_module("ldap3.utils.dn")
    try:
        return [(name.lower().strip(), value.lower().strip()) for name, value, _ in library.parse_dn(dn)]
    except _errors() as error:
        raise ValueError(f"{dn[:64]!r} is no DN, such as ou=people,dc=example,dc=org") from error


def _library() -> Any:
    return importlib.import_module("ldap3")


def _errors() -> Any:
    return importlib.import_module("ldap3.core.exceptions").LDAPException


@contextmanager
def _calls() -> Generator[None]:
    """Tell what the library and the network raise as what it is for us."""
    errors = _errors()
    try:
        yield
    except (errors, OSError) as error:
        raise Unavailable(f"{type(error).__name__}: {str(error)[:300]}") from error


def _whole(config: Config) -> int:
    """Return the time-out in whole seconds: the library takes no others."""
    return max(1, math.ceil(config.seconds))


def _first(config: Config, place: tuple[str, int], do: Callable[[Any], T]) -> T:
    """Do something with a server at the first of its addresses where that works.

    The library could try them itself, but leaves the sockets open of those that do not answer.
    """
    name, port = place
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the name {name} cannot be resolved: {error}") from error
    *others, last = dict.fromkeys(str(entry[4][0]) for entry in found)
    for address in others:
        try:
            return do(_server(config, name, address, port))
        except Unavailable as error:
            log.info(
                "a directory does not answer at one of its addresses", server=name, address=address, why=str(error)
            )
    return do(_server(config, name, last, port))


def _open(config: Config, server: Any) -> Directory:
    """Sign in at a server."""
    with _calls():
        connection = _connection(config, server, config.principal, config.password.encode())
        bound = False
        try:
            bound = bool(connection.bind())
        finally:
            if not bound:
                _close(connection)
    if not bound:
        code = connection.result["description"]
        raise Unavailable(f"it does not let ldap.bind.principal {config.principal!r} in: {code}")
    return Directory(config, server, connection)


def _connection(config: Config, server: Any, dn: str, password: bytes) -> Any:
    library = _library()
    if bool(dn) != bool(password):
        raise Unavailable("ldap.bind.principal and ldap.bind.password go together")
    return library.Connection(
        server,
        user=dn or None,
        password=password or None,
        authentication=library.SIMPLE if dn else library.ANONYMOUS,
        receive_timeout=_whole(config),
        read_only=True,
        auto_referrals=False,
        check_names=False,
    )


def _server(config: Config, name: str, address: str, port: int) -> Any:
    library = _library()
    tls = _tls(config, name) if config.truststore else None
    return library.Server(
        address,
        port=port,
        use_ssl=tls is not None,
        tls=tls,
        get_info=library.NONE,
        connect_timeout=min(CONNECT_SECONDS, config.seconds + 1),
    )


def _tls(config: Config, name: str) -> Any:
    """Return TLS with a server of this name as the standard library checks it; the library's own way is deprecated."""
    made = trust.context(config.truststore, config.truststore_password)
    library: Any = _library()

    class Checked(library.Tls):
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
            del do_handshake
            connection.socket = made.wrap_socket(connection.socket, server_hostname=name)

    return Checked()


def _close(connection: Any) -> None:
    """End a connection; the library leaves the socket open of one that did not come about."""
    opened = connection.socket
    try:
        connection.unbind()
    except (_errors(), OSError) as error:
        log.debug("a connection to a directory did not end well", why=str(error))
    for each in (opened, connection.socket):
        if each is not None:
            each.close()
