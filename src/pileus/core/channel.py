"""The road from management to the agents: an operation goes out by HTTPS, its final answer comes back.

All of it is asynchronous: ten thousand operations in flight are sockets and small tasks, not threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from typing import Protocol
from urllib.parse import quote

import httpx
import msgspec
import structlog

from pileus.wire.operations import Answer, Failure, Operation

log = structlog.get_logger(__name__)

FIRST_WAIT = 2.0  # seconds that the PUT itself waits: most operations are done by then, in one round trip
LONG_POLL = 30.0
CONNECT_TIMEOUT = 5.0
SLACK = 10.0  # how much later than promised a long poll may answer before the connection counts as dead
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
IDLE_HOST_SECONDS = 300.0

_decode = msgspec.json.Decoder(Answer).decode


class Address(msgspec.Struct, frozen=True):
    """An agent: the uuid that its certificate must name, and the base URL where it listens."""

    host: str
    url: str


class AgentChannel(Protocol):
    """How the courier reaches agents; the simulator has its own."""

    async def deliver(self, host: Address, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer, at the latest at its deadline."""
        ...

    async def abort(self, host: Address, operation_id: str) -> None:
        """Tell the host, once and best effort, that nobody waits for the operation any more."""
        ...


class HttpsChannel:
    """The channel by HTTP/1.1 with mutual TLS; connections of a host are kept and used again."""

    def __init__(self, context: ssl.SSLContext, connections_per_host: int = 32) -> None:
        self._context = context
        self._limits = httpx.Limits(
            max_connections=connections_per_host,
            max_keepalive_connections=connections_per_host,  # a handshake costs more than the request
            keepalive_expiry=60,
        )
        self._clients: dict[Address, httpx.AsyncClient] = {}
        self._busy: dict[Address, int] = {}
        self._used: dict[Address, float] = {}

    async def deliver(self, host: Address, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer.

        A connection that fails or is lost says nothing of the operation: it is asked for again, with back-off, until
        the operation's deadline; then the answer is a failure with the code "timeout".
        """
        body = msgspec.json.encode(operation)
        pause, put, last = FIRST_PAUSE, True, "no connection was tried"
        while (left := operation.deadline - time.time()) > 0:
            try:
                answer = await self._ask(host, operation.id, body if put else None, left)
            except httpx.HTTPError as error:
                last, put = f"{type(error).__name__}: {error}", True
            except _RejectedError as error:
                if not error.passing:
                    return _failed(operation, "rejected", f"the agent refused the request: {error}", False)
                last, put = str(error), True
            else:
                if answer.final:
                    return answer
                pause, put = FIRST_PAUSE, False
                continue
            log.debug("agent did not answer; trying again", host=host.host, operation=operation.id, why=last)
            await asyncio.sleep(min(pause * random.uniform(0.5, 1.5), max(left, 0.0)))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE)
        return _failed(operation, "timeout", "the host did not answer in time", True, detail=last)

    async def abort(self, host: Address, operation_id: str) -> None:
        """Tell the host, once and best effort, that nobody waits for the operation any more."""
        try:
            async with self._client(host) as client:
                await client.delete(_path(operation_id), extensions=_server_name(host), timeout=CONNECT_TIMEOUT)
        except httpx.HTTPError as error:
            log.info("an abort did not reach its host", host=host.host, operation=operation_id, why=str(error))

    async def close(self) -> None:
        """Close all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        await asyncio.gather(*(client.aclose() for client in clients))

    async def _ask(self, host: Address, identifier: str, body: bytes | None, left: float) -> Answer:
        """Send the operation (with a body) or ask for its answer (without), waiting a while for it to be final."""
        wait = min(LONG_POLL if body is None else FIRST_WAIT, left)
        async with self._client(host) as client:
            response = await client.request(
                "GET" if body is None else "PUT",
                _path(identifier),
                params={"wait": f"{wait:.3f}"},
                content=body,
                headers={"content-type": "application/json"} if body is not None else None,
                extensions=_server_name(host),
                timeout=httpx.Timeout(wait + SLACK, connect=CONNECT_TIMEOUT),
            )
        if response.status_code != 200:
            raise _RejectedError(response.status_code, response.text[:500])
        try:
            return _decode(response.content)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise _RejectedError(502, f"not an answer: {error}") from error

    @contextlib.asynccontextmanager
    async def _client(self, host: Address):
        """Lend the host's client, and close those of hosts that were silent for long."""
        client = self._clients.get(host)
        if client is None:
            client = self._clients[host] = httpx.AsyncClient(
                base_url=host.url, verify=self._context, limits=self._limits, trust_env=False
            )
        self._busy[host] = self._busy.get(host, 0) + 1
        try:
            yield client
        finally:
            self._busy[host] -= 1
            self._used[host] = time.monotonic()
            await self._close_idle()

    async def _close_idle(self) -> None:
        """Close clients of hosts that were not asked for a while (looked at now and then only)."""
        if len(self._used) < 64 or random.random() > 0.01:  # noqa: S311
            return
        old = time.monotonic() - IDLE_HOST_SECONDS
        for host in [h for h, used in self._used.items() if used < old and not self._busy.get(h)]:
            del self._used[host]
            self._busy.pop(host, None)
            client = self._clients.pop(host, None)
            if client is not None:
                await client.aclose()


class _RejectedError(Exception):
    """An HTTP status other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.passing = status in {404, 408, 425, 429} or status >= 500  # 404: the journal is new; send again


def _failed(operation: Operation, code: str, message: str, retryable: bool, detail: str = "") -> Answer:
    failure = Failure(code=code, message=message, detail=detail, retryable=retryable)
    return Answer(id=operation.id, state="failed", failure=failure)


def _path(identifier: str) -> str:
    return "/operations/" + quote(identifier, safe="/")


def _server_name(host: Address) -> dict[str, str]:
    return {"sni_hostname": host.host}  # the name that the certificate must have, whatever the address
