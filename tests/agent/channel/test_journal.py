"""The journal: retention forgets operations and never fences, and no argument outlives its operation."""

from __future__ import annotations

import time
from pathlib import Path

from pileus.agent.journal import Journal
from pileus.wire.operations import Answer
from tests.agent.channel.conftest import op


def test_retention_keeps_the_fences(tmp_path: Path):
    journal = Journal(tmp_path / "journal.db")
    done, running = op(fence=9), op(key="other")
    assert journal.accept(done).answer is None
    assert journal.accept(running).answer is None
    journal.finish(Answer(id=done.id, state="done"))
    assert journal.prune(time.time() + 1) == 1
    assert journal.answer(done.id) is None
    refused = journal.accept(op(fence=8)).answer
    assert refused is not None
    assert refused.state == "refused"
    assert [each.id for each in journal.unfinished()] == [running.id]
    journal.close()


def test_first_answer_stays_and_secrets_go(tmp_path: Path):
    path = tmp_path / "journal.db"
    journal = Journal(path)
    operation = op(text="sesame")
    journal.accept(operation)
    assert journal.unfinished()[0].arguments == {"text": "sesame"}
    first = Answer(id=operation.id, state="done", result={"n": 1})
    assert journal.finish(first)
    assert not journal.finish(Answer(id=operation.id, state="failed"))
    assert journal.answer(operation.id) == first
    assert journal.unfinished() == []
    assert path.stat().st_mode & 0o777 == 0o600
    journal.close()
