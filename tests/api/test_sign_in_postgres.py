"""Signing in on PostgreSQL: the same as on SQLite, and parallel guesses are all counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.core.database import now
from pileus.core.errors import RateLimited
from pileus.identity import throttle
from pileus.identity.tables import failure
from tests.api import test_password_reset as resets
from tests.api import test_second_factor as factors
from tests.support.cloud import Cloud
from tests.support.smtp import mail_server

pytestmark = pytest.mark.postgres


def test_signing_in_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        cloud.api("updateConfiguration", name="enable.user.2fa", value="true")
        secret = factors.set_up(factors.sign_in(cloud, cloud.user))
        browser = factors.sign_in(cloud, cloud.user)
        assert browser.send("listZones").status_code == 511
        assert browser.send(factors.VALIDATE, codefor2fa="wrong").status_code == 511
        browser.call(factors.VALIDATE, codefor2fa=factors.code(secret))
        assert browser.send("listZones").status_code == 200
        cloud.api(factors.SET_UP, cloud.domain_admin, userid=cloud.user.account["user"][0]["id"], enable=False)
        with mail_server() as server:
            site = {"mail__domain__url": "https://cloud.test", "smtp__host": "127.0.0.1", "smtp__port": server.port}
            resets.configure(cloud, enabled=True, **site)
            token = resets.ask(cloud, server)
            assert resets.reset(cloud, token).status_code == 200
            assert resets.reset(cloud, token).status_code == 531
            assert resets.can_sign_in(cloud, resets.NEW)


def test_parallel_failures_are_all_counted(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        whom = throttle.sign_in("admin", "192.0.2.1")

        def fail(_: int) -> None:
            with cloud.services.database.write() as db:
                throttle.count(db, *whom)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fail, range(40)))
        with cloud.services.database.read() as db:
            rows = db.execute(sa.select(failure)).all()
        assert [row.amount for row in rows] == [40, 40]
        assert all(row.last <= now() for row in rows)


def test_parallel_guesses_are_judged_one_after_the_other(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "FIRST_WAIT", 60.0)  # however slow this machine is
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        whom = throttle.sign_in("admin", "192.0.2.1")

        def guess(_: int) -> bool:
            try:
                with cloud.services.database.write() as db:
                    throttle.settle(db, *whom, right=False)
            except RateLimited:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(guess, range(40)))
        assert told.count(True) == throttle.FREE


def test_a_code_is_taken_once_by_parallel_requests(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        cloud.api("updateConfiguration", name="enable.user.2fa", value="true")
        made = cloud.api(factors.SET_UP, cloud.user)["setup2fa"]["secretcode"]
        code = factors.code(made)

        def prove(_: int) -> int:
            return cloud.request(factors.VALIDATE, cloud.user, codefor2fa=code).status_code

        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(prove, range(4)))
        assert sorted(codes) == [200, 511, 511, 511]
