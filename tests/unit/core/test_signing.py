"""Signatures: the contract's example, and what must not pass."""

import datetime as dt

import pytest

from pileus.core import signing

EXAMPLE = {
    "apiKey": "key-1",
    "command": "listVirtualMachines",
    "response": "json",
    "name": "web server*~",
    "details[0].key": "a+b",
}
SECRET = "secret-key-1"


def test_the_example_of_the_contract():
    assert signing.string_to_sign(EXAMPLE) == (
        "apikey=key-1&command=listvirtualmachines&details[0].key=a%2bb&name=web%20server*%7e&response=json"
    )
    assert signing.sign(EXAMPLE, SECRET) == "vq6TCrGUN2wG8Rr+etpDBfuJZ60="
    signing.verify(EXAMPLE | {"signature": "vq6TCrGUN2wG8Rr+etpDBfuJZ60="}, SECRET)


def test_names_are_sorted_as_sent_before_they_are_lowered():
    assert signing.string_to_sign({"b": "1", "Z": "2", "a": "3"}) == "z=2&a=3&b=1"


def test_the_signature_itself_is_left_out_ignoring_case():
    assert signing.string_to_sign({"a": "1", "Signature": "x"}) == "a=1"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"added": "1"},
        {"signature": ""},
        {"signature": "vq6TCrGUN2wG8Rr+etpDBfuJZ61="},
        {"signature": "ü"},
    ],
)
def test_what_was_changed_does_not_pass(change: dict[str, str]):
    good = EXAMPLE | {"signature": signing.sign(EXAMPLE, SECRET)}
    with pytest.raises(signing.BadSignature):
        signing.verify(good | change, SECRET)


def test_another_secret_does_not_pass():
    with pytest.raises(signing.BadSignature):
        signing.verify(EXAMPLE | {"signature": signing.sign(EXAMPLE, "other")}, SECRET)


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+0000", "%Y-%m-%dT%H:%M:%S+00:00"])
@pytest.mark.parametrize(("ahead", "good"), [(60, True), (-1, False)])
def test_version_3_expires(form: str, ahead: int, good: bool):
    now = 1_900_000_000.0
    expires = dt.datetime.fromtimestamp(now + ahead, dt.UTC).strftime(form)
    request = EXAMPLE | {"signatureVersion": "3", "expires": expires}
    request["signature"] = signing.sign(request, SECRET)
    if good:
        signing.verify(request, SECRET, now=now)
    else:
        with pytest.raises(signing.BadSignature):
            signing.verify(request, SECRET, now=now)


@pytest.mark.parametrize("expires", [None, "", "tomorrow", "2030-01-01T00:00:00"])
def test_version_3_needs_a_time_with_zone(expires: str | None):
    request = EXAMPLE | {"signatureversion": "3"} | ({} if expires is None else {"expires": expires})
    request["signature"] = signing.sign(request, SECRET)
    with pytest.raises(signing.BadSignature):
        signing.verify(request, SECRET, now=0)


def test_the_older_form_does_not_expire():
    request = EXAMPLE | {"expires": "2001-01-01T00:00:00Z"}
    signing.verify(request | {"signature": signing.sign(request, SECRET)}, SECRET)
