"""Steps on what is not a terminal."""

from __future__ import annotations

import io

import pytest

from pileus.client.progress import Steps


def test_each_step_is_a_line_with_its_time():
    stream = io.StringIO()
    steps = Steps(stream)
    with steps.shown():
        with steps.step("one"):
            pass
        with pytest.raises(RuntimeError), steps.step("two"):
            raise RuntimeError
    assert [line.split("s ")[-1].strip() for line in stream.getvalue().splitlines()] == ["one", "FAILED  two"]
    assert [step.title for step in steps.done] == ["one"]
