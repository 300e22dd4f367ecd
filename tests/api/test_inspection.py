"""`pileus audit` and `pileus trace` on a data folder: what an operator sees, and their exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.client.main import app
from pileus.core.assembly import open_services
from pileus.core.database import Database, insert, new_uuid, now
from pileus.core.options import Options
from pileus.core.tables import event


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the data folder of a cloud that was just made, with one event of request ``r1``."""
    (tmp_path / "cloud.json").write_text("{}")
    options = Options(data=tmp_path)
    services = open_services(options)
    options.save()
    with services.database.write() as db:
        insert(
            db, event, uuid=new_uuid(), type="ZONE.CREATE", state="Completed", level="INFO", description="zone made",
            user_id=1, account_id=1, domain_id=1, request="r1", created=now(),
        )  # fmt: skip
    services.database.close()
    return tmp_path


def _run(*words: str) -> int:
    return app(list(words), exit_on_error=False, result_action="return_value")


def test_a_new_cloud_passes_the_audit(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("audit", "--data", str(data)) == 0
    assert "the records agree" in capsys.readouterr().out


def test_a_request_is_followed_by_its_id(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("trace", "r1", "--data", str(data)) == 0
    assert "zone made" in capsys.readouterr().out
    assert _run("trace", "unknown", "--data", str(data)) == 1


def test_a_folder_without_a_cloud_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("audit", "--data", str(tmp_path)) == 2
    assert "holds no cloud" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["audit"], ["trace", "r1"]])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("missing", "has not been started yet"),
        ("older", "start the server once"),
        ("newer", "a newer server wrote it"),
        ("empty", "version none of the schema"),
        ("no database", "cannot be read"),
        ("no server", "cannot be read"),
        ("no options", "options.json cannot be read"),
    ],
)
def test_records_that_cannot_be_read_are_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], command: list[str], damage: str, says: str
) -> None:
    file = data / "server" / "pileus.db"
    if damage in ("older", "newer"):
        database = Database(f"sqlite:///{file}")
        with database.write() as db:
            db.execute(sa.text(f"UPDATE alembic_version SET version_num = '{'0001' if damage == 'older' else '9999'}'"))
        database.close()
    elif damage in ("no server", "no options"):
        url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
        file.with_name("options.json").write_text(f'{{"database": "{url}"}}' if damage == "no server" else "{")
    else:
        for each in file.parent.glob("pileus.db*"):
            each.unlink()
        if damage != "missing":
            file.write_bytes(b"" if damage == "empty" else b"no database at all" * 500)
    assert _run(*command, "--data", str(data)) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert damage != "missing" or not file.exists()
