"""Signing, against the worked example of the wire's description and its rules."""

from __future__ import annotations

import pytest

from pileus.client.api import Api, is_reading, signature, string_to_sign

EXAMPLE = {
    "apiKey": "key-1",
    "command": "listVirtualMachines",
    "response": "json",
    "name": "web server*~",
    "details[0].key": "a+b",
}


def test_the_worked_example():
    assert string_to_sign(EXAMPLE) == (
        "apikey=key-1&command=listvirtualmachines&details[0].key=a%2bb&name=web%20server*%7e&response=json"
    )
    assert signature(EXAMPLE, "secret-key-1") == "vq6TCrGUN2wG8Rr+etpDBfuJZ60="


def test_the_signature_itself_is_not_signed_however_it_is_spelt():
    assert string_to_sign(EXAMPLE | {"Signature": "x"}) == string_to_sign(EXAMPLE)


def test_names_are_sorted_as_sent_before_they_are_lowered():
    assert string_to_sign({"b": "1", "Z": "2", "a": "3"}) == "z=2&a=3&b=1"


def test_text_beyond_ascii_is_escaped_as_utf8():
    assert string_to_sign({"name": "Grüße/€"}) == "name=gr%c3%bc%c3%9fe%2f%e2%82%ac"


@pytest.mark.parametrize(
    ("command", "reading"),
    [("listZones", True), ("queryAsyncJobResult", True), ("getUserKeys", True), ("findHostsForMigration", True),
     ("deployVirtualMachine", False), ("login", False)],
)  # fmt: skip
def test_what_only_reads_may_be_a_get(command, reading):
    assert is_reading(command) is reading


def test_a_url_that_is_none_is_refused():
    with pytest.raises(ValueError, match="must look like"):
        Api("localhost:8080")
