"""A whole server in this process: in-process jobs, simulated hosts, the real API edge with real signatures.

``with Cloud.start(folder) as cloud: cloud.api("listZones")``.  A folder's SQLite database is a copy of a template that
is made once a session, so that a cloud starts in a few tens of milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec

from pileus.core import assembly, http, plugins, signing
from pileus.core.database import Database
from pileus.core.hostchannel import HostChannel
from pileus.core.listeners import Listener
from pileus.core.options import Options
from pileus.drivers.simulator import SimulatorChannel, SimulatorConfig
from pileus.identity.bootstrap import Credentials
from tests.support import shapes

URL = "http://cloud.test/client/api"
PASSWORD = "a password for tests"


class Refused(Exception):
    """An error answer of the API."""

    def __init__(self, command: str, code: int, text: str, body: dict[str, Any]) -> None:
        super().__init__(f"{command}: {code} {text}")
        self.code = code
        self.text = text
        self.body = body


class Person(msgspec.Struct, frozen=True):
    """Somebody who calls: keys, and what the API says of the account."""

    name: str
    apikey: str
    secretkey: str
    account: dict[str, Any] = {}

    @property
    def own(self) -> dict[str, str]:
        """Return the parameters account and domainid of this person's account."""
        return {"account": self.account["name"], "domainid": self.account["domainid"]}


class Cloud:
    """A running server of this process."""

    settings_changed: ClassVar[list[str]] = []
    """Names of the settings that were changed by updateConfiguration, in all clouds of this process, in order."""

    def __init__(self, options: Options, credentials: Credentials, config: SimulatorConfig, **engine: Any) -> None:
        self.options = options
        self.config = config
        self.services = assembly.open_services(options, migrate=lambda _database: None)
        self.simulator = SimulatorChannel(self.services.database, config=config)
        self.channel = HostChannel(self.services.database, simulator=self.simulator)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud-loop", daemon=True)
        self._thread.start()
        self.engine = assembly.make_engine(
            self.services, self.channel, loop=self._loop, **({"workers": 2, "lease": 5} | engine)
        )
        self.engine.start()
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=http.application(self.services)), base_url="http://cloud.test"
        )
        self.root = Person("root", credentials.apikey, credentials.secretkey, {"name": "admin"})
        self.password = credentials.password
        self._people: dict[tuple[str, str], Person] = {}
        self._listeners: list[Listener] = []

    @classmethod
    @contextmanager
    def start(
        cls, folder: Path, *, database: str = "", config: SimulatorConfig | None = None, **engine: Any
    ) -> Iterator[Cloud]:
        """Run a cloud in a folder; ``database``: URL of an empty PostgreSQL database (default: SQLite)."""
        options = Options(data=folder, database=database, simulator=True)
        options.home.mkdir(parents=True, exist_ok=True)
        if options.admin_file.exists():  # a cloud that ran before
            credentials = _credentials(options)
        else:
            credentials = _from_template(options) if not database else _empty(options)
        cloud = cls(options, credentials, config or SimulatorConfig(), **engine)
        try:
            yield cloud
        finally:
            cloud.close()

    def listen(self) -> str:
        """Serve the API on a free port of loopback too, for clients that bring their own HTTP; return its URL."""

        async def begin() -> Listener:
            listener = Listener(http.application(self.services), "127.0.0.1", 0)
            task = listener.start()
            while not listener.ready and not task.done():  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.005)
            return listener

        listener = self._await(begin())
        self._listeners.append(listener)
        return f"http://127.0.0.1:{listener.port}/client/api"

    def close(self) -> None:
        """Stop everything."""
        for listener in self._listeners:
            self._await(listener.stop())
        self.engine.stop(10)
        self.simulator.close()
        self._await(self._http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.services.database.close()

    # Calls

    def api(self, command: str, caller: Person | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a command as a person (default: the root admin); return what is in the wrapper, or raise Refused."""
        response = self.request(command, caller or self.root, **parameters)
        if command == "updateConfiguration" and response.status_code == 200:
            self.settings_changed.append(str(parameters["name"]))
        (content,) = response.json().values()
        if response.status_code != 200:
            raise Refused(command, response.status_code, content.get("errortext", ""), content)
        shapes.check(command, content)
        return content

    def job(self, command: str, caller: Person | None = None, *, limit: float = 30, **parameters: Any) -> Any:
        """Call an asynchronous command and wait; return its result without the object's name, or raise Refused."""
        return self.wait(command, self.api(command, caller, **parameters)["jobid"], limit=limit)

    def wait(self, command: str, job: str, *, limit: float = 30) -> Any:
        """Wait for a job; return its result without the object's name, or raise Refused."""
        until, pause = time.monotonic() + limit, 0.003
        while (answer := self.api("queryAsyncJobResult", jobid=job))["jobstatus"] == 0:
            if time.monotonic() > until:
                raise TimeoutError(f"{command}: the job did not end within {limit} s: {answer}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        result = answer.get("jobresult", {})
        if answer["jobstatus"] != 1:
            raise Refused(command, result.get("errorcode", 0), result.get("errortext", ""), result)
        shapes.check(command, result, result=True)
        inner = list(result.values())
        return inner[0] if len(inner) == 1 and isinstance(inner[0], dict) else result

    def list(self, command: str, caller: Person | None = None, **parameters: Any) -> list[dict[str, Any]]:
        """Call a list command and return the objects."""
        answer = self.api(command, caller, **parameters)
        return next((value for value in answer.values() if isinstance(value, list)), [])

    def request(
        self, command: str, caller: Person | None, *, method: str = "", response: str = "json", **parameters: Any
    ) -> httpx.Response:
        """Send a signed request (unsigned without a caller) and return the raw answer."""
        everything = {name: _text(value) for name, value in _flat(parameters)}
        everything |= {"command": command, "response": response}
        if caller is not None:
            everything = signed(everything, caller)
        reads = command.lower().startswith(("get", "list", "query", "find"))
        if (method or ("GET" if reads else "POST")) == "GET":
            return self.send("GET", params=everything)
        return self.send("POST", data=everything)

    def send(self, method: str, path: str = "/client/api", **options: Any) -> httpx.Response:
        """Send any HTTP request to the edge."""
        return self._await(self._http.request(method, path, **options))

    def forget_cookies(self) -> None:
        """Drop the cookies that the edge has set."""
        self._http.cookies.clear()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the cloud's loop and return its result."""
        return self._await(coroutine)

    def _await(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    # People

    def domain(self, name: str, parent: str | None = None) -> dict[str, Any]:
        """Return the domain of this name below ROOT (or ``parent``, an id), made when missing."""
        found = self.list("listDomains", name=name, listall=True)
        return found[0] if found else self.api("createDomain", name=name, parentdomainid=parent)["domain"]

    def person(self, name: str, *, type_: int = 0, domain: str = "tests") -> Person:
        """Return somebody with an own account, made when missing; ``type_``: 0 user, 1 root admin, 2 domain admin."""
        known = self._people.get((name, domain))
        if known is not None:
            return known
        within = {"domainid": self.domain(domain)["id"]} if type_ != 1 else {}
        account = self.api(
            "createAccount",
            accounttype=type_,
            username=name,
            password=PASSWORD,
            firstname=name,
            lastname="Test",
            email=f"{name}@cloud.test",
            **within,
        )["account"]
        keys = self.api("registerUserKeys", id=account["user"][0]["id"])["userkeys"]
        made = Person(name, keys["apikey"], keys["secretkey"], account)
        self._people[(name, domain)] = made
        return made

    @property
    def user(self) -> Person:
        """Return an ordinary user."""
        return self.person("user")

    @property
    def other(self) -> Person:
        """Return an ordinary user of another account in the same domain."""
        return self.person("other")

    @property
    def stranger(self) -> Person:
        """Return an ordinary user of another domain."""
        return self.person("stranger", domain="elsewhere")

    @property
    def domain_admin(self) -> Person:
        """Return the admin of the domain that ``user`` and ``other`` are in."""
        return self.person("chief", type_=2)

    @property
    def foreign_admin(self) -> Person:
        """Return the admin of the stranger's domain."""
        return self.person("governor", type_=2, domain="elsewhere")


def signed(parameters: dict[str, str], caller: Person) -> dict[str, str]:
    """Return the parameters with the caller's key and signature (version 3, valid for ten minutes)."""
    expires = datetime.now(UTC) + timedelta(minutes=10)
    everything = parameters | {
        "apiKey": caller.apikey,
        "signatureversion": "3",
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
    return everything | {"signature": signing.sign(everything, caller.secretkey)}


def _flat(parameters: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Spell maps as the API wants them: a dict as free keys, a list of dicts as one entry each."""
    for given, value in parameters.items():
        name = given.rstrip("_")  # for words that Python keeps for itself
        if isinstance(value, dict):
            yield from ((f"{name}[0].{key}", inner) for key, inner in value.items())
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ((f"{name}[{n}].{key}", inner) for n, entry in enumerate(value) for key, inner in entry.items())
        elif value is not None:
            yield name, value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@cache
def _template() -> Path:
    """Make the folder of a new cloud, once a session; it is removed when Python exits."""
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="pileus-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = Options(data=folder, simulator=True)
    services = assembly.open_services(options, migrate=_create_all)
    services.database.close()
    return folder


def _create_all(database: Database) -> None:
    plugins.all_tables().create_all(database.engine)


def _from_template(options: Options) -> Credentials:
    template = Options(data=_template(), simulator=True)
    for file in template.home.iterdir():
        if file.name != "server.id" and file.is_file():
            shutil.copy(file, options.home / file.name)
    (options.home / "server.id").write_text(str(uuid.uuid4()))
    return _credentials(options)


def _empty(options: Options) -> Credentials:
    assembly.open_services(options, migrate=_create_all).database.close()
    return _credentials(options)


def _credentials(options: Options) -> Credentials:
    return msgspec.convert(json.loads(options.admin_file.read_bytes()), Credentials)
