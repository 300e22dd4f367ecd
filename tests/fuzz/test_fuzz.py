"""Made-up requests: refused in words, never a fault of the server, and a refused one leaves every record as it was."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pileus.core import commands, entities, plugins
from pileus.core.jobs.tables import job
from tests.fuzz.requests import requests, unique
from tests.support.cloud import Cloud, Person, signed
from tests.support.zones import isolated_network, machine, simulated_zone

CODES = {200, 400, 401, 405, 429, 430, 431, 432, 531, 532, 533, 534, 535, 536, 537}
"""Every code that input may cause; 530 and 503 are faults of the server."""
CONCURRENT = 4300
"""The cserrorcode of a 530 that is no fault: somebody else is changing the object at this moment."""
VOLATILE = ("job", "outbox", "server", "schedule", "convergence", "session", "sign_in", "event", "sim_", "alert")
"""Tables that the server writes by itself; what a person is told of is in the others."""
OURSELVES = ("Traceback", "sqlalchemy", "site-packages", 'File "', "sqlite3.", "psycopg", "object at 0x")


class Fuzzed:
    """A cloud with one of each common kind of object, and a look at its records."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        zone = simulated_zone(cloud)
        machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
        self.people: list[Person | None] = [*[cloud.root] * 7, cloud.domain_admin, cloud.user, None]
        self.ids = self._ids()
        self.codes: Counter[int] = Counter()
        self._watch = sqlite3.connect(f"file:{cloud.services.database.engine.url.database}?mode=ro", uri=True)
        self._tables = [table for table in plugins.all_tables().sorted_tables if not table.name.startswith(VOLATILE)]
        self._version, self._known = self._data_version(), self.digest()

    def _ids(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        protected = {"Account", "User", "Domain", "Role"}  # without the root admin there is nothing to fuzz
        with self.cloud.services.database.read() as db:
            for kind in self._kinds():
                entity = entities.known(kind)
                if entity is None:
                    continue
                rows = db.execute(sa.select(entity.table.c.uuid).order_by(entity.table.c.id.desc()).limit(5)).scalars()
                found[kind] = [uuid for uuid in rows if uuid and kind not in protected]
            found["Account"] = [self.cloud.user.account["id"]]
            found["Domain"] = [self.cloud.user.account["domainid"]]
        return {kind: ids for kind, ids in found.items() if ids}

    def _kinds(self) -> set[str]:
        return {field.wire.ref for spec in commands.commands().values() for field in spec.fields.values()}

    def forget(self) -> None:
        """Take the records as they are now for what they should be."""
        version = self._data_version()
        if version != self._version:
            self._version, self._known = version, self.digest()

    def _data_version(self) -> int:
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def digest(self) -> dict[str, str]:
        """Return a hash of every table that holds the cloud's records."""
        found: dict[str, str] = {}
        with self.cloud.services.database.read() as db:
            for table in self._tables:
                steady = [
                    c for c in table.c if c.name not in ("last_report", "load", "really_used_memory_mib", "updated")
                ]
                rows = db.execute(sa.select(*steady).order_by(*table.primary_key.columns)).all()
                found[table.name] = hashlib.sha256(repr(rows).encode()).hexdigest()
        return found

    def changed(self) -> list[str]:
        """Return the tables with other records than before; quick when nothing was written at all."""
        if self._data_version() == self._version:
            return []
        now = self.digest()
        return [name for name, digest in now.items() if digest != self._known[name]]

    def ask(self, person: Person | None, command: str, pairs: list[tuple[str, str]], shape: str) -> None:
        """Send a request and look at the answer and the records."""
        parameters = unique(pairs) | {"command": command, "response": shape}
        if person is not None:
            parameters = signed(parameters, person)
        code = self._send(parameters, shape)
        self.codes[code] += 1
        if code == 200 or not self.changed():
            self.forget()
            return
        # Something that was asked for earlier may have gone on meanwhile: again, when all is quiet.
        changed: list[str] = []
        for _ in range(3):
            self._settle()
            if self._send(parameters, shape) == 200:  # what stood in its way has passed
                self.forget()
                return
            changed = self.changed()
            if not changed:
                return
        raise AssertionError(f"{command} {pairs} was refused with {code}, yet {changed} changed")

    def _send(self, parameters: dict[str, str], shape: str) -> int:
        answer = self.cloud.send("POST", data=parameters)
        told = f"{parameters}: {answer.status_code} {answer.text[:500]}"
        assert not any(part in answer.text for part in OURSELVES), told
        content = json.loads(answer.text) if shape == "json" else _inside(answer.content)
        (body,) = content.values()
        assert answer.status_code in CODES or int(body["cserrorcode"]) == CONCURRENT, told
        if answer.status_code != 200:
            assert int(body["errorcode"]) == answer.status_code, told
            assert len(body["errortext"]) > 5, told
        return answer.status_code

    def _settle(self) -> None:
        """Wait until no job has anything to do and nothing has been written for a moment."""
        until = time.monotonic() + 60
        while True:
            self.forget()
            time.sleep(0.5)
            with self.cloud.services.database.read() as db:
                busy = db.execute(
                    sa.select(job.c.id).where(job.c.state.in_(("queued", "ready", "running", "waiting"))).limit(1)
                ).first()
            if busy is None and not self.changed():
                return
            assert time.monotonic() < until, "the cloud does not come to rest"


def _inside(text: bytes) -> dict[str, Any]:
    root = ElementTree.fromstring(text)
    return {root.tag: {child.tag: child.text for child in root}}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """The cloud; its log is quiet."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with Cloud.start(folder) as cloud:
        yield Fuzzed(cloud)
    structlog.configure(wrapper_class=before)


def _run(fuzzed: Fuzzed, examples: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        asked=requests(fuzzed.ids),
        person=st.sampled_from(fuzzed.people),
        shape=st.sampled_from(["json", "json", "json", "xml"]),
    )
    def ask(asked: tuple[str, list[tuple[str, str]]], person: Person | None, shape: str) -> None:
        fuzzed.ask(person, asked[0], asked[1], shape)

    ask()


def test_a_few_thousand_made_up_requests(fuzzed: Fuzzed):
    _run(fuzzed, 2_000, 1)
    assert {200, 401, 431} <= set(fuzzed.codes)


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_made_up_requests(fuzzed: Fuzzed, part: int):
    _run(fuzzed, 10_000, 100 + part)
