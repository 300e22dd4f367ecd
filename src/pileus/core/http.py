"""The API edge: one URL for every command, by GET and POST, answers as JSON or XML."""

from __future__ import annotations

import time
import uuid
from collections.abc import Hashable
from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pileus.core import authentication, commands, metrics, origin, rendering, requests, signing
from pileus.core.authentication import Anonymous, Facts
from pileus.core.calls import Caller
from pileus.core.commands import CommandSpec
from pileus.core.dispatch import dispatch
from pileus.core.errors import ApiError, InternalError, MethodNotAllowed, Unauthenticated, UnknownCommand
from pileus.core.lanes import Lanes
from pileus.core.rendering import Answer, refusal, wrapper_of
from pileus.core.services import Services

log = structlog.get_logger(__name__)

THREADS = 8
"""Commands that run at once in this process, beside the quick ones that the loop runs itself."""

_LOOPBACK = {"127.0.0.1", "::1"}
_LOCAL_NAMES = _LOOPBACK | {"localhost", "[::1]"}


class Reply(msgspec.Struct, frozen=True):
    """An answer as it is sent."""

    status: int
    content: bytes
    media_type: str
    description: str
    cookies: dict[str, str]


class Edge:
    """Answers the API's requests; ``trusted``: the port that asks for no credentials."""

    def __init__(self, services: Services, *, trusted: bool = False) -> None:
        self._services = services
        self._trusted = trusted
        self._lanes = Lanes(THREADS)

    async def api(self, request: Request) -> Response:
        """Answer a request for a command."""
        began = time.perf_counter()
        identifier = uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request=identifier):
            name, parameters, json = "", dict[str, str](), False
            try:
                parameters = await requests.parameters_of(request)
                name, json = parameters.get("command", ""), _wants_json(request, parameters)
                work = partial(self._reply, request, name, parameters, identifier, json=json)
                reply = await self._lanes.run(work, kind=self._kind(name, parameters))
            except ApiError as error:
                reply = _rendered(refusal(_error_wrapper(name), error), json=_wants_json(request, parameters))
            except Exception:
                log.exception("a request failed by a fault of the server", command=name[:64])
                text = f"internal error; the server's log has the cause under request {identifier}"
                reply = _rendered(refusal(_error_wrapper(name), InternalError(text)), json=json)
            seconds = time.perf_counter() - began
            metrics.observe(name, reply.status, seconds)
            # Clients poll: what only reads is not worth a line, unless it was refused.
            spec = commands.find(name)
            tell = log.debug if spec is not None and spec.reads and reply.status == 200 else log.info
            tell("request", command=name[:64], status=reply.status, milliseconds=round(seconds * 1000, 2))
            return _response(
                reply, identifier, secure=bool(reply.cookies) and origin.encrypted(self._services, request)
            )

    def _kind(self, name: str, parameters: dict[str, str]) -> Hashable | None:
        """Return what calls of about the same cost have in common; None for those that only a thread may run.

        A session's end is moved on now and then, which writes; what is asked for by its key does not wait for anybody.
        """
        spec = commands.find(name)
        if spec is None or not spec.reads or not spec.at_once or not (self._trusted or "apiKey" in parameters):
            return None
        return (name, parameters.get("pagesize", "")[:6], *sorted(spec.fields.keys() & parameters.keys()))

    def _reply(self, request: Request, name: str, parameters: dict[str, str], identifier: str, *, json: bool) -> Reply:
        answer, cookies = self._answer(request, name, parameters, identifier)
        return _rendered(answer, cookies, json=json)

    def _answer(
        self, request: Request, name: str, parameters: dict[str, str], identifier: str
    ) -> tuple[Answer, dict[str, str]]:
        if not name:
            return refusal("errorresponse", UnknownCommand("invalid request, no command sent")), {}
        spec = commands.find(name) or _anonymous().get(name.lower())
        if spec is not None and issubclass(spec.cls, Anonymous):
            return self._sign_in(spec, request, parameters, identifier)
        try:
            caller = self._caller(request, parameters)
            self._check_origin(request, caller)
            authentication.identity().admit(self._services, caller, name)
        except signing.BadSignature as error:
            return _bare_refusal(name, error), {}
        if spec is None and not self._trusted and not caller.session:
            # To who signs, an unknown command looks as one that the role does not have.
            return _bare_refusal(name, Unauthenticated(f"unknown API command: {name[:64]}")), {}
        structlog.contextvars.bind_contextvars(account=caller.account)
        return dispatch(self._services, caller, name, requests.lowered(parameters), identifier), {}

    def _caller(self, request: Request, parameters: dict[str, str]) -> Caller:
        """Return who calls: by the port, by a signature, or by a session."""
        identity = authentication.identity()
        if self._trusted:
            return identity.system(self._services)
        api_key = next((value for name, value in parameters.items() if name.lower() == "apikey"), None)
        if api_key and "\0" in api_key:  # PostgreSQL has no such text
            raise signing.refused()
        if api_key:
            key = identity.by_key(self._services, api_key)
            signing.verify(parameters, key.secret if key else "")
            if key is None:
                raise signing.refused()
            return key.caller
        cookies = cookies_of(request)
        token = cookies.get("JSESSIONID")
        if not token:
            raise signing.refused()
        given = parameters.get("sessionkey")
        if not given or given != cookies.get("sessionkey"):
            identity.drop_session(self._services, token)
            raise signing.refused()
        caller = identity.by_session(self._services, token, given)
        if caller is None:
            raise signing.refused()
        return caller

    def _check_origin(self, request: Request, caller: Caller) -> None:
        """Refuse a caller whose account may not call from where the request comes from."""
        if self._trusted:
            return
        source = origin.address(self._services, request)
        if not origin.admits(self._services, caller.account_id, source):
            raise Unauthenticated(
                f"the account {caller.account} may not call from {source}: see the setting {origin.ALLOWED.name}"
            )

    def _sign_in(
        self, spec: CommandSpec, request: Request, parameters: dict[str, str], identifier: str
    ) -> tuple[Answer, dict[str, str]]:
        """Run a command of the sign-in family."""
        try:
            if request.method != "POST" and spec.name != "logout":
                raise MethodNotAllowed(f"{spec.name} must be a POST")
            instance = commands.build(spec, requests.lowered(parameters))
            if not isinstance(instance, Anonymous):
                raise TypeError(f"{spec.name} is not of the sign-in family")
            facts = Facts(
                address=origin.address(self._services, request), request=identifier, cookies=cookies_of(request)
            )
            signed = instance.answer(self._services, facts)
        except ApiError as error:
            return refusal(wrapper_of(spec.name, error=True), error), {}
        return Answer(200, {wrapper_of(spec.name): signed.content}), signed.cookies

    async def health(self, _request: Request) -> Response:
        """Tell whether this server can do its work: 200, or 503 when the database does not answer."""

        def ask() -> None:
            with self._services.database.read() as db:
                db.execute(sa.text("SELECT 1"))

        try:
            await self._lanes.run(ask)
        except SQLAlchemyError as error:
            log.error("the database does not answer", why=str(error))  # noqa: TRY400 (one line is enough each time)
            return Response(b'{"status":"failing"}', 503, media_type="application/json")
        return Response(b'{"status":"ok"}', media_type="application/json")


def application(services: Services) -> Starlette:
    """Return the application of the API's port."""
    edge = Edge(services)
    return Starlette(
        routes=[
            # Some clients put a slash behind the address that they are given.
            Route("/client/api", edge.api, methods=["GET", "POST"]),
            Route("/client/api/", edge.api, methods=["GET", "POST"]),
            Route("/client/health", edge.health),
            Route("/metrics", _metrics),
        ]
    )


def integration_application(services: Services) -> Starlette:
    """Return the application of the port without credentials; the listener keeps it on loopback."""
    edge = Edge(services, trusted=True)

    async def api(request: Request) -> Response:
        # A web page in a browser on this machine must not reach it, by a name that points here or otherwise.
        local = request.headers.get("host", "").rsplit(":", 1)[0] in _LOCAL_NAMES
        if not local or "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
            return Response(status_code=403)
        return await edge.api(request)

    methods = ["GET", "POST"]
    paths = ("/client/api", "/client/api/", "/")
    return Starlette(routes=[Route(path, api, methods=methods) for path in paths])


async def _metrics(request: Request) -> Response:
    """Return the measurements, to this machine only (404 for others, and behind a proxy)."""
    if request.client is None or request.client.host not in _LOOPBACK or "x-forwarded-for" in request.headers:
        return Response(status_code=404)
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def cookies_of(request: Request) -> dict[str, str]:
    """Return the request's cookies (none when they cannot be read)."""
    header = request.headers.get("cookie")
    if not header:
        return {}
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _anonymous() -> dict[str, CommandSpec]:
    """Return the sign-in family, which is found ignoring case."""
    return {name.lower(): spec for name, spec in commands.commands().items() if spec.wire.anonymous}


def _error_wrapper(name: str) -> str:
    return wrapper_of(name, error=True) if commands.find(name) else "errorresponse"


def _bare_refusal(name: str, error: ApiError) -> Answer:
    """Return the servlet's own 401, which has no cserrorcode."""
    body: dict[str, Any] = {"uuidList": [], "errorcode": error.code, "errortext": error.text}
    return Answer(error.code, {_error_wrapper(name): body}, error.text)


def _wants_json(request: Request, parameters: dict[str, str]) -> bool:
    chosen = parameters.get("response") or request.query_params.get("response", "")
    return chosen.lower() == "json"


def _rendered(answer: Answer, cookies: dict[str, str] | None = None, *, json: bool) -> Reply:
    render, kind = (rendering.json, rendering.JSON_TYPE) if json else (rendering.xml, rendering.XML_TYPE)
    return Reply(answer.status, render(answer.body), kind, answer.description, cookies or {})


def _response(reply: Reply, identifier: str, *, secure: bool) -> Response:
    headers = {"content-type": reply.media_type, "x-request-id": identifier}
    if reply.description:
        one_line = " ".join(reply.description.split())
        headers["x-description"] = one_line.encode("ascii", "replace").decode()[:1000]
    response = Response(reply.content, reply.status, headers=headers)
    _set_cookies(response, reply.cookies, secure=secure)
    return response


def _set_cookies(response: Response, cookies: dict[str, str], *, secure: bool) -> None:
    for name, value in cookies.items():
        if value:
            response.set_cookie(name, value, path="/client", httponly=True, samesite="lax", secure=secure)
        else:
            response.delete_cookie(name, path="/client", httponly=True, samesite="lax", secure=secure)
