"""Attacks that are known by name, each with what it must not get."""

from __future__ import annotations

import hmac
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from pileus.core import signing
from tests.support.cloud import Cloud, signed


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A new cloud for all attacks."""
    folder: Path = tmp_path_factory.mktemp("abuse")
    with Cloud.start(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_cookies(cloud: Cloud) -> None:
    cloud.forget_cookies()


def _login(cloud: Cloud, **more: Any) -> dict[str, Any]:
    form = {"command": "login", "username": "admin", "password": cloud.password, "response": "json"}
    answer = cloud.send("POST", data=form, **more)
    assert answer.status_code == 200, answer.text
    return {"answer": answer, **answer.json()["loginresponse"]}


# Signatures


def test_a_request_that_was_overheard_ends_with_its_expiry(cloud: Cloud):
    parameters = {"command": "listDomains", "response": "json", "apiKey": cloud.root.apikey, "signatureversion": "3"}
    expires = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(time.time() + 1))
    overheard = parameters | {"expires": expires}
    overheard["signature"] = signing.sign(overheard, cloud.root.secretkey)
    assert cloud.send("GET", params=overheard).status_code == 200
    time.sleep(2.1)
    assert cloud.send("GET", params=overheard).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "2999-01-01T00:00:00+0000"},
        {"signatureversion": "2"},
        {"signatureVersion": "1"},
        {"command": "listUsers"},
        {"COMMAND": "listUsers"},
        {"id": "1"},
        {"signature": ""},
        {"signature": "A" * 100_000},
        {"signature": "é"},
    ],
)
def test_nothing_of_a_signed_request_can_be_altered(cloud: Cloud, change: dict[str, str]):
    request = signed({"command": "listDomains", "response": "json"}, cloud.root)
    assert cloud.send("POST", data=request | change).status_code == 401


def test_a_signature_of_another_user_is_no_good(cloud: Cloud):
    request = signed({"command": "listDomains", "response": "json"}, cloud.user)
    assert cloud.send("GET", params=request | {"apiKey": cloud.root.apikey}).status_code == 401


def test_signatures_are_compared_in_constant_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[Any, Any]] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return original(one, other)

    original = hmac.compare_digest
    monkeypatch.setattr(signing.hmac, "compare_digest", compare)
    assert cloud.request("listDomains", cloud.root).status_code == 200
    assert len(compared) == 1
    assert len(compared[0][0]) == len(compared[0][1]) == 28  # SHA-1 in base64


# Sessions


def test_a_session_is_never_the_one_that_the_attacker_planted(cloud: Cloud):
    planted = {"JSESSIONID": "planted", "sessionkey": "planted"}
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in planted.items())}
    session = _login(cloud, headers=headers)
    assert session["answer"].cookies["JSESSIONID"] != "planted"
    assert session["sessionkey"] != "planted"
    cloud.forget_cookies()
    query = {"command": "listDomains", "response": "json", "sessionkey": "planted"}
    assert cloud.send("GET", params=query, headers=headers).status_code == 401


def test_two_sessions_share_nothing(cloud: Cloud):
    first = _login(cloud)
    cloud.forget_cookies()
    second = _login(cloud)
    assert first["sessionkey"] != second["sessionkey"]
    query = {"command": "listDomains", "response": "json", "sessionkey": first["sessionkey"]}
    assert cloud.send("GET", params=query).status_code == 401  # with the cookies of the second


def test_another_sites_form_cannot_use_the_browsers_cookies(cloud: Cloud):
    session = _login(cloud)
    form = {"command": "createDomain", "name": "forged", "response": "json"}
    assert cloud.send("POST", data=form, headers={"origin": "http://evil.test"}).status_code == 401
    assert cloud.list("listDomains", name="forged") == []
    cookies = session["answer"].headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in cookies)


# What is written by others comes back as text


@pytest.mark.parametrize("name", ["<b>&amp;]]>", 'x"><script>alert(1)', "&lt;", "a\tb\u2028c", "😀ü"])
def test_names_are_text_in_every_answer(cloud: Cloud, name: str):
    made = cloud.api("createDomain", name=name)["domain"]
    answer = cloud.request("listDomains", cloud.root, id=made["id"], response="xml")
    assert ElementTree.fromstring(answer.content).find("domain/name").text == name
    assert cloud.list("listDomains", id=made["id"])[0]["name"] == name


def test_entities_of_a_document_are_not_read(cloud: Cloud):
    document = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    query = signed({"command": "listDomains", "response": "json"}, cloud.root)
    answer = cloud.send("POST", params=query, content=document, headers={"content-type": "application/xml"})
    assert "root:" not in answer.text


@pytest.mark.parametrize("text", ["a\r\nX-Injected: yes", "a\nSet-Cookie: JSESSIONID=1", "é\r\n\r\n<html>"])
def test_headers_hold_one_line(cloud: Cloud, text: str):
    answer = cloud.request("listDomains", cloud.root, id=text)
    assert answer.status_code == 431
    assert "x-injected" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert "\n" not in answer.headers["x-description"]


def test_a_name_writes_no_lines_into_the_log(cloud: Cloud, capfd: pytest.CaptureFixture[str]):
    cloud.request("list\n2026-01-01 00:00:00 [info     ] forged entry", cloud.root)
    cloud.request("listDomains", cloud.root, name="x\nforged entry")
    written = "".join(capfd.readouterr())
    assert not any(line.startswith(("2026-01-01 00:00:00", "forged")) for line in written.splitlines())


# Size and time


def test_many_parameters_and_large_bodies_are_refused(cloud: Cloud):
    many = "&".join(f"a{n}=1" for n in range(6000))
    answer = cloud.send("POST", content=many, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 430
    answer = cloud.send("POST", content=b"x" * (3 * 1024 * 1024))
    assert answer.status_code == 431


def test_slow_clients_hold_nobody_up(cloud: Cloud):
    address = urlsplit(cloud.listen())
    slow: list[socket.socket] = []
    try:
        for _ in range(100):
            one = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
            one.sendall(b"POST /client/api HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ncommand=")
            slow.append(one)
        began = time.perf_counter()
        assert cloud.request("listDomains", cloud.root).status_code == 200
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as quick:
            quick.sendall(
                b"GET /client/api?command=listDomains&response=json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            answer = b"".join(iter(lambda: quick.recv(65536), b""))
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["listdomainsresponse"]["errorcode"] == 401
        assert time.perf_counter() - began < 2
    finally:
        for one in slow:
            one.close()
