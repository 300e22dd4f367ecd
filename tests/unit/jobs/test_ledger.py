"""The ledger: a replay meets what is recorded, in order, or is found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.core.jobs.errors import JobFailed, NotDeterministic, OperationFailed, Outcome, Retry, outcome_of
from pileus.core.jobs.ledger import Ledger, encode
from pileus.core.jobs.sql import Step
from pileus.wire.operations import Failure

names = st.lists(st.text("abc/", min_size=1, max_size=6), unique=True, max_size=8)


def _step(name: str, position: int, **values: object) -> Step:
    step = Step(name, position, "null", None, None)
    for field, value in values.items():
        setattr(step, field, value)
    return step


@given(names, st.integers(0, 8))
def test_a_replay_finds_its_recorded_steps_and_then_new_ones(steps: list[str], recorded: int) -> None:
    ledger = Ledger("w", [_step(name, number) for number, name in enumerate(steps[:recorded])])
    for number, name in enumerate(steps):
        found = ledger.meet(name)
        assert (found is not None) == (number < recorded)
        if found is None:
            ledger.add(_step(name, ledger.next_position()))
    assert [ledger.steps[name].position for name in steps] == list(range(len(steps)))


@given(names, st.randoms())
def test_another_order_is_found_out(steps: list[str], random: st.randoms) -> None:
    shuffled = list(steps)
    random.shuffle(shuffled)
    ledger = Ledger("w", [_step(name, number) for number, name in enumerate(steps)])
    if shuffled == steps:
        for name in shuffled:
            assert ledger.meet(name) is not None
        return
    with pytest.raises(NotDeterministic):
        list(map(ledger.meet, shuffled))


def test_undo_goes_backwards_over_what_has_or_may_have_happened() -> None:
    def failed(code: str) -> str:
        return encode(Outcome(sort="operation", text="", failure=Failure(code=code, message=""), host=1, kind="k"))

    ledger = Ledger(
        "w",
        [
            _step("a", 0, undo="u"),
            _step("b", 1),
            _step("c", 2, undo="u", error=failed("timeout")),
            _step("d", 3, undo="u", error=failed("full")),
            _step("e/1/x", 4, undo="u", undone=1),
            _step("undo/e/1/x/0/y", 5, undo="u"),
            _step("e/2/x", 6, undo="u"),
        ],
    )
    assert [step.name for step in ledger.to_undo()] == ["e/2/x", "c", "a"]
    assert [step.name for step in ledger.to_undo("e/")] == ["e/2/x"]


@pytest.mark.parametrize(
    "error",
    [
        OperationFailed(Failure(code="full", message="The host is full", retryable=True), 4, "machine.start"),
        Retry("later", code="early", host=3, pool="p"),
        JobFailed("no room", code=533),
    ],
)
def test_a_recorded_failure_raises_the_same_again(error: Exception) -> None:
    again = outcome_of(error, "uuid").exception()
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert outcome_of(again, "uuid") == outcome_of(error, "uuid")
