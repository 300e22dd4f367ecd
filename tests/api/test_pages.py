"""Every list has pages beyond the first."""

from __future__ import annotations

import pytest

from pileus.core import commands, plugins
from tests.support.cloud import Cloud, Refused

plugins.load_all()
_LISTS = sorted(
    name
    for name, spec in commands.commands().items()
    if {"page", "pagesize"} <= set(spec.fields) and not any(field.required for field in spec.fields.values())
)


@pytest.mark.parametrize("command", _LISTS)
def test_second_page_goes_on_where_the_first_ends(cloud: Cloud, command: str):
    try:
        whole = cloud.list(command, **_all(command))
    except Refused as refused:
        if refused.code in (431, 534):  # one of several parameters is needed; there is no directory to ask
            return
        raise
    pages = [each for page in (1, 2, 3) for each in cloud.list(command, page=page, pagesize=1, **_all(command))]
    # The numbers of *Metrics move on from call to call.
    assert [each.get("id", each) for each in pages] == [each.get("id", each) for each in whole[:3]]
    assert cloud.list(command, page=1_000, pagesize=500, **_all(command)) == []


def _all(command: str) -> dict[str, bool]:
    return {"listall": True} if "listall" in commands.commands()[command].fields else {}
