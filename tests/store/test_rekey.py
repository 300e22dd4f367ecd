"""A new key for the secrets of a cloud: afterwards no secret needs the old one, also when it was cut short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from pileus.client.main import app
from pileus.core import rekeying
from pileus.core.database import Database
from pileus.core.jobs.tables import server
from pileus.core.options import Options
from pileus.core.rekeying import RekeyError, rekey
from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server
from tests.support.zones import isolated_network, simulated_zone

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    with fresh_database(request.getfixturevalue("postgres_server"), "rekey") as made:
        yield made


def filled(folder: Path, url: str) -> dict[str, str]:
    """Make a cloud with secrets of several sorts; return what somebody knows of them."""
    with Cloud.start(folder, database=url) as cloud:
        cloud.options.save()
        zone = simulated_zone(cloud, hosts=1)
        made = cloud.job(
            "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"], name="vm1",
            serviceofferingid=zone["offering"], networkids=isolated_network(cloud, zone, "n1"),
        )  # fmt: skip
        cloud.api("updateConfiguration", name="alert.smtp.password", value="a setting's secret")
        return {"machine": made["password"], "apikey": cloud.root.apikey, "secretkey": cloud.root.secretkey}


def tokens(options: Options) -> list[bytes]:
    database = Database(options.database_url)
    with database.read() as db:
        names = sa.inspect(database.engine).get_table_names()
        rows = [row for name in names for row in db.execute(sa.text(f'SELECT * FROM "{name}"')).all()]
    texts = [str(value) for row in rows for value in row]
    database.close()
    return [token.encode() for text in texts for token in re.findall(r"gAAAAA[\w-]{70,}={0,2}", text)]


def still_known(folder: Path, url: str, known: dict[str, str]) -> None:
    with Cloud.start(folder, database=url) as cloud:
        assert (cloud.root.apikey, cloud.root.secretkey) == (known["apikey"], known["secretkey"])
        (job,) = (job for job in cloud.list("listAsyncJobs") if job["cmd"].endswith("deployVirtualMachine"))
        assert job["jobresult"]["virtualmachine"]["password"] == known["machine"]


def test_every_secret_gets_the_new_key(tmp_path: Path, url: str) -> None:
    known = filled(tmp_path, url)
    options = Options.load(tmp_path)
    file = options.home / "secrets.key"
    old = Fernet(file.read_bytes().strip())
    before = tokens(options)
    assert len(before) >= 4
    assert rekey(tmp_path) == len(before)
    new = Fernet(file.read_bytes().strip())
    after = tokens(options)
    assert sorted(map(old.decrypt, before)) == sorted(map(new.decrypt, after))
    for token in after:
        with pytest.raises(InvalidToken):
            old.decrypt(token)
    assert file.stat().st_mode & 0o777 == 0o600
    still_known(tmp_path, url, known)


def test_what_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = filled(tmp_path, "")
    options = Options.load(tmp_path)
    file = options.home / "secrets.key"
    old = file.read_bytes().strip()
    done = rekeying._renew_column  # pyright: ignore[reportPrivateUsage]
    places: list[str] = []

    def die_later(database: Database, table: sa.Table, *rest: object) -> None:
        places.append(table.name)
        if table.name == "user_":
            raise KeyboardInterrupt
        done(database, table, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(rekeying, "_renew_column", die_later)
    with pytest.raises(KeyboardInterrupt):
        rekey(tmp_path)
    monkeypatch.undo()
    both = file.read_bytes().split()
    assert both[1:] == [old]
    still_known(tmp_path, "", known)  # a server that starts now reads all
    rekey(tmp_path)
    assert file.read_bytes().split() == both[:1]
    assert [Fernet(both[0]).decrypt(token) for token in tokens(options)]
    still_known(tmp_path, "", known)


def test_a_running_server_holds_it_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Cloud.start(tmp_path) as cloud:
        cloud.options.save()
        with pytest.raises(RekeyError, match="still run"):
            rekey(tmp_path)
        key = (cloud.options.home / "secrets.key").read_bytes()
        assert app(["rekey", "--data", str(tmp_path)], exit_on_error=False, result_action="return_value") == 1
        assert "stop them all first" in capsys.readouterr().err
        assert (cloud.options.home / "secrets.key").read_bytes() == key
    with Database(Options.load(tmp_path).database_url).read() as db:
        assert db.execute(sa.select(server)).all() == []
    assert app(["rekey", "--data", str(tmp_path)], exit_on_error=False, result_action="return_value") == 0
    assert "secrets are encrypted with a new key" in capsys.readouterr().out
