"""The comparison of answers with the contract, which all tests of the API rely on, notices what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import shapes

ZONE = {"id": "a", "name": "z", "securitygroupsenabled": False, "resourcedetails": {"a": "b"}}


def test_right_answers_pass():
    shapes.check("listZones", {"count": 1, "zone": [ZONE]})
    shapes.check("listZones", {})
    shapes.check("deleteZone", {"success": True})
    shapes.check("deployVirtualMachine", {"id": "a", "jobid": "b"})
    shapes.check(
        "deployVirtualMachine", {"virtualmachine": {"id": "a", "created": "2026-01-31T13:00:00+0000"}}, result=True
    )


@pytest.mark.parametrize(
    ("command", "content", "says"),
    [
        ("listZones", {"count": 1, "zones": [ZONE]}, "instead of count and 'zone'"),
        ("listZones", {"count": 0}, "count is 0"),
        ("listZones", {"zone": [ZONE | {"colour": "red"}]}, "colour is no field"),
        ("listZones", {"zone": [ZONE | {"securitygroupsenabled": "false"}]}, "not boolean"),
        ("listZones", {"zone": [ZONE | {"tags": [{"key": 1}]}]}, "tags.key is 1, not string"),
        ("createZone", {"zone": ZONE, "jobid": "a"}, "instead of 'zone'"),
        ("deleteZone", {"success": "true"}, "plain success"),
        ("stopVirtualMachine", {"id": "a", "jobid": "b"}, "jobid"),
        ("queryAsyncJobResult", {"jobstatus": True}, "not integer"),
        ("queryAsyncJobResult", {"created": "2026-01-31T13:00:00+00:00"}, "not date"),
    ],
)
def test_wrong_answers_are_named(command: str, content: dict[str, Any], says: str):
    with pytest.raises(AssertionError, match=says):
        shapes.check(command, content)
