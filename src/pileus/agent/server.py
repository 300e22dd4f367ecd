"""The agent's HTTPS service: three routes, and only a management server of this cloud is let in."""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pileus.agent.runner import Final, Runner
from pileus.core.mtls import MutualProtocol, peer_of, server_context
from pileus.wire.operations import Answer, Operation

LONGEST_WAIT = 60.0  # seconds of a long poll
LARGEST_BODY = 32 * 2**20  # a router with thousands of guests and their user data

_decode = msgspec.json.Decoder(Operation).decode


class OnlyServers:
    """Lets requests of management servers pass and answers 403 to all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the role in the peer's certificate."""
        if scope["type"] == "http":
            peer = peer_of(scope)
            if peer is None or peer.role != "server":
                await _refuse(403, "only a management server of this cloud may call an agent")(scope, receive, send)
                return
        await self._app(scope, receive, send)


def application(runner: Runner) -> ASGIApp:
    """Build the ASGI application over a runner."""

    async def put(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return _refuse(413, f"an operation is at most {LARGEST_BODY} bytes")
        try:
            operation = _decode(bytes(body))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return _refuse(400, f"not an operation: {error}")
        if operation.id != request.path_params["id"]:
            return _refuse(400, "the operation's id is not the one in the path")
        try:
            found = await run_in_threadpool(runner.submit, operation)
        except RuntimeError:
            return _refuse(503, "the agent is stopping; ask again in a moment")
        return await _answer(runner, operation.id, found, request)

    async def get(request: Request) -> Response:
        identifier = request.path_params["id"]
        found = await run_in_threadpool(runner.find, identifier)
        if found is None:
            return _refuse(404, "this agent never accepted that operation; send it")
        return await _answer(runner, identifier, found, request)

    async def delete(request: Request) -> Response:
        answer = await run_in_threadpool(runner.abort, request.path_params["id"])
        return _refuse(404, "this agent never accepted that operation") if answer is None else _json(answer)

    routes = [
        Route("/operations/{id:path}", put, methods=["PUT"]),
        Route("/operations/{id:path}", get, methods=["GET"]),
        Route("/operations/{id:path}", delete, methods=["DELETE"]),
    ]
    return OnlyServers(Starlette(routes=routes))


def serve(runner: Runner, address: str, port: int, keys: Path) -> uvicorn.Server:
    """Make the server on `address`:`port` with the certificate in `keys`; the caller runs it."""
    config = uvicorn.Config(
        application(runner),
        host=address,
        port=port,
        http=MutualProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=2,
    )
    config.load()
    config.ssl = server_context(keys / "agent.crt", keys / "agent.key", keys / "ca.crt")
    return uvicorn.Server(config)


async def _answer(runner: Runner, identifier: str, found: Answer | Final, request: Request) -> Response:
    """Answer with what is final, or wait for it as long as the request says."""
    if isinstance(found, Answer):
        return _json(found)
    wait = _seconds(request.query_params.get("wait", "0"))
    if wait > 0 and not found.done():
        await asyncio.wait([_watch(found)], timeout=wait)
    if found.done():
        return _json(found.result(0))
    return _json(Answer(id=identifier, state="running", progress=runner.progress(identifier)))


def _watch(final: concurrent.futures.Future[Answer]) -> asyncio.Future[None]:
    """Make a future of this loop that is done when `final` is; giving it up leaves `final` alone."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def notice() -> None:
        if not done.done():
            done.set_result(None)

    def call(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(notice)

    final.add_done_callback(call)
    return done


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), LONGEST_WAIT)
    except ValueError:
        return 0.0


def _json(answer: Answer) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _refuse(status: int, text: str) -> Response:
    return Response(msgspec.json.encode({"error": text}), status, media_type="application/json")
