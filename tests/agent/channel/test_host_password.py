"""Passwords of the host's users: told to the system's own program by its input, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.agent.context import AgentContext
from pileus.agent.operations import host
from pileus.agent.registry import OperationError
from pileus.wire.hosts import HostPassword


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in the place of the system's, which this machine's users would suffer from."""
    program, said = tmp_path / "chpasswd", tmp_path / "said"
    lines = (
        "#!/bin/sh",
        f'echo "$#" > {said}',
        f"cat >> {said}",
        f'grep -q ^nobody {said} && echo "no: $(cat {said})" >&2 && exit 1',
        "exit 0",
    )
    program.write_text("\n".join((*lines, "")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return said


def change(tmp_path: Path, user: str, password: str) -> None:
    host.set_password(AgentContext(data=tmp_path, prefix="pt"), HostPassword(username=user, password=password), print)


def test_user_and_password_are_told_by_input(tmp_path: Path, heard: Path) -> None:
    change(tmp_path, "ops", "a:b $(c) 'd'")
    assert heard.read_text() == "0\nops:a:b $(c) 'd'\n"


@pytest.mark.parametrize(
    ("user", "password"), [("o:ps", "x"), ("ops", "x\nroot:y"), ("ops", ""), ("-R", "x"), ("", "x")]
)
def test_what_would_mean_something_else_is_refused(tmp_path: Path, heard: Path, user: str, password: str) -> None:
    with pytest.raises(OperationError) as caught:
        change(tmp_path, user, password)
    assert caught.value.code == "invalid-password"
    assert not heard.exists()


def test_a_refusal_does_not_tell_the_password(tmp_path: Path, heard: Path) -> None:
    with pytest.raises(OperationError) as caught:
        change(tmp_path, "nobody", "sesame")
    assert caught.value.code == "password-refused"
    assert "sesame" not in f"{caught.value} {caught.value.detail} {HostPassword(username='x', password='sesame')}"
