"""Answers as clients read them."""

import json
from xml.etree import ElementTree

from pileus.core import rendering
from pileus.core.errors import InvalidParameter


def test_dates_have_no_colon_in_the_zone():
    assert rendering.date(0) == "1970-01-01T00:00:00+0000"
    assert rendering.date(1769864400.9) == "2026-01-31T13:00:00+0000"
    assert rendering.date(None) is None


def test_json_leaves_nulls_out_at_every_depth():
    body = {"w": {"a": None, "b": [{"c": None, "d": 0}], "e": {"f": None}, "g": "", "h": False}}
    assert json.loads(rendering.json(body)) == {"w": {"b": [{"d": 0}], "e": {}, "g": "", "h": False}}


def test_xml_repeats_the_element_of_a_list():
    body = {
        "listzonesresponse": {
            "count": 2,
            "zone": [
                {"id": "1", "name": 'a<b>&"c', "ok": True, "tags": [{"key": "x"}, {"key": "y"}], "none": None},
                {},
            ],
        }
    }
    root = ElementTree.fromstring(rendering.xml(body))
    assert root.tag == "listzonesresponse"
    assert root.attrib == {"cloud-stack-version": rendering.API_VERSION}
    assert [child.tag for child in root] == ["count", "zone", "zone"]
    zone = root[1]
    assert [(child.tag, child.text) for child in zone] == [
        ("id", "1"),
        ("name", 'a<b>&"c'),
        ("ok", "true"),
        ("tags", None),
        ("tags", None),
    ]
    assert [tag[0].text for tag in zone.findall("tags")] == ["x", "y"]


def test_xml_stays_xml_whatever_people_call_things():
    body = {"r": {"details": {"a key/with": "v", "x:y": "1", "plain": "2"}, "text": "bell \x07 nul \x00 \ud800 end"}}
    root = ElementTree.fromstring(rendering.xml(body))
    entries = {entry.get("name") or entry.tag: entry.text for entry in root[0]}
    assert entries == {"a key/with": "v", "x:y": "1", "plain": "2"}
    assert root[1].text == "bell  nul   end"


def test_a_refusal_says_it_in_cloudstacks_form():
    error = InvalidParameter("parameter id is wrong", uuids=(("1-2", "id"),))
    answer = rendering.refusal("listzonesresponse", error)
    assert answer.status == 431
    assert answer.body == {
        "listzonesresponse": {
            "uuidList": [{"uuid": "1-2", "description": "id"}],
            "errorcode": 431,
            "cserrorcode": 4350,
            "errortext": "parameter id is wrong",
        }
    }
