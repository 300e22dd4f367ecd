"""The command line as people and scripts use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pileus.client import output
from pileus.client.folder import Folder, FolderError
from pileus.client.profiles import from_profile

PILEUS = Path(sys.executable).with_name("pileus")


def pileus(*arguments):
    return subprocess.run([PILEUS, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_help_names_the_commands():
    found = pileus("--help")
    assert found.returncode == 0
    for word in ("up", "down", "purge", "status", "api", "server", "agent", "template"):
        assert word in found.stdout


def test_a_reader_that_has_seen_enough_is_no_failure():
    read, write = os.pipe()
    os.close(read)  # as `pileus api … | head` ends
    long = "import sys; from pileus.client import main; main.app = lambda _: print('x' * 10**6); main.main()"
    done = subprocess.run([sys.executable, "-c", long], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_cloud_is_a_sentence_and_not_a_traceback(tmp_path):
    for command in (["status"], ["down"], ["api", "listZones"]):
        found = pileus(*command, "--data", str(tmp_path / "none"))
        assert found.returncode == 1
        assert "pileus up --data" in found.stderr
        assert "Traceback" not in found.stderr


def test_purge_leaves_a_folder_alone_that_is_not_ours(tmp_path):
    (tmp_path / "letter").write_text("dear")
    found = pileus("purge", "--data", str(tmp_path))
    assert found.returncode == 1
    assert "nothing was removed" in found.stderr
    assert (tmp_path / "letter").exists()


def test_a_parameter_that_is_none_is_refused(tmp_path):
    found = pileus("api", "listZones", "nonsense", "--data", str(tmp_path))
    assert found.returncode == 2
    assert "key=value" in found.stderr


def test_a_table_shows_what_matters(capsys):
    rows = [
        {"id": str(number), "name": f"m{number}", "state": "Running", "zoneid": "z", "tags": []} for number in (1, 2)
    ]
    output.show({"count": 2, "virtualmachine": rows}, as_json=False)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["id", "name", "state"]
    assert printed[2].split() == ["2", "m2", "Running"]


def test_one_object_shows_all_its_fields(capsys):
    output.show({"id": "1", "details": {"a": 1}, "ready": True}, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["id       1", 'details  {"a": 1}', "ready    true"]


def test_json_is_the_answer_itself(capsys):
    output.show({"count": 0}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"count": 0}


def test_an_empty_list_says_so(capsys):
    output.show({}, as_json=False)
    assert capsys.readouterr().out == "nothing found\n"


def test_profiles_of_our_own_and_of_cloudmonkey(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    own = tmp_path / ".config/pileus/profiles.toml"
    own.parent.mkdir(parents=True)
    own.write_text('default = "lab"\n[lab]\nurl = "http://lab:8080/client/api"\napikey = "a"\nsecretkey = "s"\n')
    cloudmonkey = tmp_path / ".cmk/config"
    cloudmonkey.parent.mkdir()
    cloudmonkey.write_text(
        "prompt = x\nprofile = there\n\n[there]\nurl = http://there/client/api\napikey = a\nsecretkey = s%\n"
    )
    assert from_profile(None, tmp_path).url == "http://lab:8080/client/api"
    assert from_profile("there", tmp_path).url == "http://there/client/api"
    own.unlink()
    assert from_profile(None, tmp_path).url == "http://there/client/api"
    with pytest.raises(FolderError, match="no profile 'elsewhere'"):
        from_profile("elsewhere", tmp_path)


def test_one_command_at_a_time_on_a_folder(tmp_path):
    folder = Folder(tmp_path)
    with folder.locked(), pytest.raises(FolderError, match="another pileus command"), Folder(tmp_path).locked():
        pass
