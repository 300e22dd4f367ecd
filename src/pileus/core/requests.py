"""Requests: parameters from query and body, read within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pileus.core.errors import InvalidParameter, MalformedParameter

MAX_BODY = 2 * 1024 * 1024
MAX_FIELDS = 5000


async def parameters_of(request: Request) -> dict[str, str]:
    """Return all parameters as sent: of the body and of the query, which wins; of repeated ones the last.

    Raises InvalidParameter when the body is larger than 2 MiB.
    """
    found: dict[str, str] = {}
    if request.method == "POST":
        body = await _body(request)
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "multipart/form-data":
            found.update(await _multipart(request, body))
        elif body:
            found.update(_pairs(body.decode("utf-8", "replace")))
    found.update(_pairs(request.scope["query_string"].decode("latin-1")))
    return found


def lowered(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters with lower-case names; of a map (``name[i].field``) the part before the bracket only."""
    raw: dict[str, str] = {}
    for name, value in parameters.items():
        base, bracket, rest = name.partition("[")
        raw[base.lower() + bracket + rest] = value
    return raw


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedParameter(f"the request has more than {MAX_FIELDS} parameters") from error


async def _body(request: Request) -> bytes:
    too_long = InvalidParameter(f"the request is larger than {MAX_BODY} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY:
        raise too_long
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise too_long
        parts.append(part)
    return b"".join(parts)


async def _multipart(request: Request, body: bytes) -> list[tuple[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(request.headers, stream(), max_fields=MAX_FIELDS, max_part_size=MAX_BODY).parse()
    except (MultiPartException, KeyError) as error:
        raise MalformedParameter("the multipart body cannot be read") from error
    pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    files = [name for name, value in form.multi_items() if not isinstance(value, str)]
    await form.close()
    try:
        "".join(part for pair in pairs for part in pair).encode()
    except UnicodeEncodeError as error:  # a charset such as unicode_escape makes halves of characters
        raise MalformedParameter("the multipart body is not text in its charset") from error
    if files:
        raise MalformedParameter(f"parameter {files[0][:64]} is a file; no command takes files")
    return pairs
