"""The listener for agents: mutual TLS, routes that the slices register.

Whoever comes without a certificate of ours reaches only the routes that say so (enrolment); the others find out who
asks by ``peer``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pileus.core import certificates
from pileus.core.errors import (
    ApiError,
    AuthenticationFailed,
    InvalidParameter,
    MalformedParameter,
    MissingParameter,
    PermissionDenied,
    Unauthenticated,
)
from pileus.core.mtls import Peer, peer_of
from pileus.core.services import Services

log = structlog.get_logger(__name__)

Handler = Callable[[Services, Request], Awaitable[Response]]


class AgentRoute:
    """A route for agents."""

    def __init__(self, path: str, handler: Handler, methods: list[str], *, enrolled: bool) -> None:
        self.path = path
        self.handler = handler
        self.methods = methods
        self.enrolled = enrolled


_routes: list[AgentRoute] = []


def register(path: str, handler: Handler, *, methods: list[str], enrolled: bool = True) -> None:
    """Register ``handler(services, request)`` for a path; ``enrolled=False``: without a certificate too."""
    _routes.append(AgentRoute(path, handler, methods, enrolled=enrolled))


def peer(request: Request) -> Peer | None:
    """Return whom the verified certificate of the request names."""
    return peer_of(request.scope)


def application(services: Services) -> Starlette:
    """Return the application of the listener for agents."""
    return Starlette(routes=[Route(r.path, _guarded(services, r), methods=r.methods) for r in _routes])


def _guarded(services: Services, route: AgentRoute) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        known = peer(request)
        if route.enrolled and known is None:
            return JSONResponse({"error": "a certificate of this cloud is needed; enrol the host first"}, 401)
        try:
            if route.enrolled and known and await asyncio.to_thread(certificates.revoked, services, known.serial):
                log.warning("a revoked certificate was used", peer=f"{known.role}:{known.id}", serial=known.serial)
                return JSONResponse({"error": "this certificate was revoked; enrol the host with a new token"}, 401)
            return await route.handler(services, request)
        except ApiError as error:
            return JSONResponse({"error": error.text}, _status(error))
        except Exception:
            log.exception("a request of an agent failed by a fault of the server", path=route.path)
            return JSONResponse({"error": "internal error; the server's log has the cause"}, 500)

    return answer


def _status(error: ApiError) -> int:
    """Return what plain HTTP has for a refusal: the API's own codes mean other things there."""
    if isinstance(error, (PermissionDenied, Unauthenticated, AuthenticationFailed)):
        return 403
    return 400 if isinstance(error, (InvalidParameter, MissingParameter, MalformedParameter)) else 500
