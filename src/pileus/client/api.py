"""A signed client of the CloudStack API, from the standard library only, so that the CLI starts quickly."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

READING = ("get", "list", "query", "find")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
PAGE = 500  # the largest page that a server answers by default
Answer = dict[str, Any]


class ApiFailure(Exception):
    """The cloud answered with an error: its code and its text."""

    def __init__(self, code: int, text: str, command: str = "") -> None:
        super().__init__(f"{command}: error {code}: {text}" if command else f"error {code}: {text}")
        self.code = code
        self.text = text
        self.command = command


class Unreachable(Exception):
    """Nothing that speaks the API answers at the URL."""


def string_to_sign(parameters: Mapping[str, str]) -> str:
    """Return the canonical text of a request: sorted by name as sent, values escaped, all in lower case."""
    pairs = (
        f"{name}={quote(value, safe='*-._').replace('~', '%7E')}"
        for name, value in sorted(parameters.items())
        if name.lower() != "signature"
    )
    return "&".join(pairs).lower()


def signature(parameters: Mapping[str, str], secret: str) -> str:
    """Sign a request: HMAC-SHA1 of the canonical text, in base64."""
    digest = hmac.new(secret.encode(), string_to_sign(parameters).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_reading(command: str) -> bool:
    """Tell whether a command only reads, and so may be a GET."""
    return command.lower().startswith(READING)


class Api:
    """Calls one endpoint with one pair of keys over one kept connection; not for use by several threads."""

    def __init__(self, url: str, apikey: str = "", secretkey: str = "", *, timeout: float = 60) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the API's URL must look like http://host:8080/client/api, not {url!r}")
        self.url = url
        self.first_pause = FIRST_PAUSE  # seconds before a job is asked about again, growing to LONGEST_PAUSE
        self._path = parts.path or "/client/api"
        self._apikey, self._secretkey = apikey, secretkey
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)

    def call(self, command: str, **parameters: Any) -> Answer:
        """Call a command and return what stands in its wrapper; parameters that are None are left out."""
        return self.send(command, {name: _text(value) for name, value in parameters.items() if value is not None})

    def send(self, command: str, parameters: Mapping[str, str]) -> Answer:
        """Call a command with parameters that are text already (their names may hold brackets)."""
        everything = {**parameters, "command": command, "response": "json"}
        if self._apikey:
            expires = datetime.now(UTC) + timedelta(minutes=10)
            everything |= {
                "apiKey": self._apikey,
                "signatureversion": "3",
                "expires": expires.strftime("%Y-%m-%dT%H:%M:%S+0000"),
            }
            everything["signature"] = signature(everything, self._secretkey)
        status, body = self._exchange(command, urlencode(everything))
        return self._unwrap(command, status, body)

    def run(self, command: str, *, limit: float = 600, **parameters: Any) -> Answer:
        """Call a command, wait for its job when it has one, and return the result without the object's name."""
        return self.finish(self.call(command, **parameters), command, limit=limit)

    def finish(
        self, answer: Answer, command: str, *, limit: float = 600, progress: Callable[[str], None] | None = None
    ) -> Answer:
        """Wait for the job named in a first answer; ApiFailure when it fails or exceeds the limit (seconds)."""
        if "jobid" not in answer:
            return _only(answer)
        pause, until = self.first_pause, time.monotonic() + limit
        while True:
            job = self.call("queryAsyncJobResult", jobid=answer["jobid"])
            if progress is not None and job.get("jobstatus") == 0:
                progress(str(job.get("jobprocstatus", "")))
            if job.get("jobstatus") == 1:
                return _only(job.get("jobresult") or {})
            if job.get("jobstatus") in (2, 3):
                result: Answer = job.get("jobresult") or {}
                code = int(result.get("errorcode") or job.get("jobresultcode") or 530)
                raise ApiFailure(code, str(result.get("errortext", "the job was cancelled")), command)
            if time.monotonic() > until:
                raise ApiFailure(530, f"the job {answer['jobid']} did not end within {limit:.0f} s", command)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def list(self, command: str, **parameters: Any) -> list[Answer]:
        """Call a list command and return the objects of its answer."""
        answer = self.call(command, **parameters)
        lists = (cast("list[Answer]", value) for value in answer.values() if isinstance(value, list))
        nothing: list[Answer] = []
        return next(lists, nothing)

    def list_all(self, command: str, **parameters: Any) -> list[Answer]:
        """Call a list command page by page and return the objects of all pages."""
        found: list[Answer] = []
        while True:
            page = self.list(command, page=len(found) // PAGE + 1, pagesize=PAGE, **parameters)
            found += page
            if len(page) < PAGE:
                return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, command: str, form: str) -> tuple[int, bytes]:
        """Send once; a kept connection that the server closed meanwhile is opened anew for commands that read."""
        reading = is_reading(command)
        for last in (False, True):
            kept = self._connection.sock is not None
            try:
                if reading:
                    self._connection.request("GET", f"{self._path}?{form}")
                else:
                    headers = {"Content-Type": "application/x-www-form-urlencoded"}
                    self._connection.request("POST", self._path, form, headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                closed = isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
                if last or not (kept and closed and reading):
                    raise Unreachable(f"no answer from {self.url}: {error or type(error).__name__}") from error
        raise AssertionError("unreachable")

    def _unwrap(self, command: str, status: int, body: bytes) -> Answer:
        try:
            document = json.loads(body)
            content: Any = next(iter(document.values()))
        except (ValueError, AttributeError, StopIteration) as error:
            raise Unreachable(f"{self.url} answered {status} with something that is not the API's JSON") from error
        if not isinstance(content, dict):
            raise Unreachable(f"{self.url} answered {status} without a wrapper object")
        found = cast("Answer", content)
        if status >= 400 or "errorcode" in found:
            raise ApiFailure(int(found.get("errorcode", status)), str(found.get("errortext", "")), command)
        return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return ",".join(str(item) for item in items)
    return str(value)


def _only(answer: Answer) -> Answer:
    """Return the object within a wrapper (or list) that holds just one; else the answer as it is."""
    named = [name for name in answer if name != "count"]
    if len(named) == 1:
        inner: Any = answer[named[0]]
        if isinstance(inner, list) and len(cast("list[Any]", inner)) == 1:
            inner = cast("list[Any]", inner)[0]
        if isinstance(inner, dict):
            return cast("Answer", inner)
    return answer
