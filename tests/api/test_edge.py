"""The API edge: shapes, errors, paging, conversions, limits; what real clients depend on."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
import sqlalchemy as sa
from cs import CloudStack

from pileus.core import commands, http
from tests.support.cloud import Cloud, Refused, signed

MADE_UP = "00000000-0000-4000-8000-000000000000"


def test_the_cs_library_works(cloud: Cloud):
    client = CloudStack(endpoint=cloud.listen(), key=cloud.root.apikey, secret=cloud.root.secretkey)
    made = client.createDomain(name="a name with blanks *+&=ü")["domain"]
    assert client.listDomains(id=made["id"])["domain"][0]["name"] == "a name with blanks *+&=ü"
    job = client.deleteDomain(id=made["id"], fetch_result=True)
    assert job["success"] is True
    assert client.listDomains(name=made["name"], listall=True) == {}


def test_xml_is_the_default_and_json_is_asked_for(cloud: Cloud):
    answer = cloud.request("listDomains", cloud.root, response="")
    assert answer.headers["content-type"].startswith("text/xml")
    root = ElementTree.fromstring(answer.content)
    assert (root.tag, root.find("count").text, root.find("domain/name").text) == ("listdomainsresponse", "1", "ROOT")
    answer = cloud.request("listDomains", cloud.root)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert list(answer.json()) == ["listdomainsresponse"]


def test_an_empty_list_has_neither_count_nor_key(cloud: Cloud):
    assert cloud.api("listDomains", name="none such") == {}


def test_an_object_stands_alone_in_its_wrapper(cloud: Cloud):
    assert list(cloud.api("createDomain", name="one")) == ["domain"]


def test_a_job_answers_its_id_and_later_its_result(cloud: Cloud):
    made = cloud.api("createDomain", name="one")["domain"]
    first = cloud.api("deleteDomain", id=made["id"])
    assert list(first) == ["jobid"]
    cloud.wait("deleteDomain", first["jobid"])
    job = cloud.api("queryAsyncJobResult", jobid=first["jobid"])
    assert job["jobstatus"] == 1
    assert job["jobresultcode"] == 0
    assert job["jobresulttype"] == "object"
    assert job["jobresult"] == {"success": True}
    assert (job["cmd"], job["jobinstancetype"], job["jobinstanceid"]) == ("deleteDomain", "Domain", made["id"])
    assert job["accountid"] == cloud.list("listAccounts")[0]["id"]


def test_a_failed_job_has_code_and_text(cloud: Cloud):
    user = cloud.user
    with pytest.raises(Refused) as refused:
        cloud.job("deleteDomain", id=user.account["domainid"])
    assert refused.value.code == 536
    assert "1 accounts" in refused.value.text


def test_errors_have_status_header_and_wrapper(cloud: Cloud):
    answer = cloud.request("listDomains", cloud.root, id=MADE_UP)
    assert answer.status_code == 431
    body = answer.json()["listdomainsresponse"]
    assert (body["errorcode"], body["cserrorcode"], body["uuidList"]) == (431, 4350, [])
    assert answer.headers["x-description"] == body["errortext"]
    assert "parameter id" in body["errortext"]
    assert MADE_UP in body["errortext"]
    xml = cloud.request("listDomains", cloud.root, id=MADE_UP, response="xml")
    assert ElementTree.fromstring(xml.content).find("errorcode").text == "431"


@pytest.mark.parametrize("name", ["listNothing", "listdomains", "createDomain "])
def test_unknown_commands_are_401_when_signed_and_432_in_a_session(cloud: Cloud, name: str):
    answer = cloud.request(name, cloud.root)
    assert answer.status_code == 401
    text = f"unknown API command: {name}"
    assert answer.json() == {"errorresponse": {"uuidList": [], "errorcode": 401, "errortext": text}}
    cloud.forget_cookies()
    login = {"command": "login", "username": "admin", "password": cloud.password, "response": "json"}
    key = cloud.send("POST", data=login).json()["loginresponse"]["sessionkey"]
    answer = cloud.send("POST", data={"command": name, "sessionkey": key, "response": "json"})
    assert answer.status_code == 432
    body = answer.json()["errorresponse"]
    assert (body["errorcode"], body["cserrorcode"], body["errortext"]) == (432, 9999, text)


def test_no_command_is_432(cloud: Cloud):
    answer = cloud.request("", cloud.root)
    assert answer.status_code == 432
    assert answer.json()["errorresponse"]["errorcode"] == 432


def test_without_credentials_401(cloud: Cloud):
    answer = cloud.request("listDomains", None)
    assert answer.status_code == 401
    assert answer.json() == {
        "listdomainsresponse": {
            "uuidList": [],
            "errorcode": 401,
            "errortext": "unable to verify user credentials and/or request signature",
        }
    }


@pytest.mark.parametrize("change", [{"signature": "bad"}, {"name": "added"}, {"expires": "2001-01-01T00:00:00Z"}])
def test_a_bad_signature_is_401(cloud: Cloud, change: dict[str, str]):
    request = signed({"command": "listDomains", "response": "json"}, cloud.root)
    assert cloud.send("GET", params=request).status_code == 200
    assert cloud.send("GET", params=request | change).status_code == 401


def test_an_unknown_key_is_401_even_when_signed_with_an_empty_secret(cloud: Cloud):
    nobody = type(cloud.root)("nobody", "no-such-key", "")
    assert cloud.request("listDomains", nobody).status_code == 401


def test_a_role_that_may_not_call_is_401(cloud: Cloud):
    with pytest.raises(Refused) as refused:
        cloud.api("createDomain", cloud.user, name="mine")
    assert refused.value.code == 401


def test_the_query_wins_over_the_body_and_the_last_value_wins(cloud: Cloud):
    body = signed({"command": "createDomain", "name": "of the body", "response": "json"}, cloud.root)
    query = signed({"command": "createDomain", "name": "of the query", "response": "json"}, cloud.root)
    pairs = [("name", "first"), *query.items()]
    answer = cloud.send("POST", params=pairs, data=body)
    assert answer.json()["createdomainresponse"]["domain"]["name"] == "of the query"


def test_multipart_forms_are_read(cloud: Cloud):
    form = signed({"command": "createDomain", "name": "über", "response": "json"}, cloud.root)
    answer = cloud.send("POST", files={name: (None, value) for name, value in form.items()})
    assert answer.json()["createdomainresponse"]["domain"]["name"] == "über"
    answer = cloud.send("POST", files={"name": ("file.txt", b"content")})
    assert answer.status_code == 430


@pytest.mark.parametrize("charset", ["idna", "unicode_escape", "no-such-charset"])
def test_a_form_in_an_odd_charset_is_no_fault_of_the_server(cloud: Cloud, charset: str):
    given = {"command": b"listDomains", "apiKey": b"\\ud800\xff", "signature": b"x"}
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), v) for n, v in given.items()
    ]
    body = b"".join(parts) + b"--b--\r\n"
    kind = f"multipart/form-data; boundary=b; charset={charset}"
    answer = cloud.send("POST", content=body, headers={"content-type": kind})
    assert answer.status_code in (401, 430)


@pytest.mark.parametrize("field", ["a\x00b", "a\x1bb"])
def test_control_characters_in_the_keys_of_maps_are_refused(cloud: Cloud, field: str):
    with pytest.raises(Refused) as caught:
        cloud.api("listDomains", **{f"details[0].{field}": "x"})
    assert caught.value.code == 431
    assert "details" in caught.value.text


def test_a_call_whose_work_is_committed_is_not_repeated(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    class Conflict(Exception):
        sqlstate = "40001"

    ended = list[object]()

    def finishup(_self: commands.Command, _services: object, result: object) -> object:
        ended.append(result)
        raise sa.exc.DBAPIError("SELECT", {}, Conflict())

    spec = commands.find("createDomain")
    assert spec is not None
    monkeypatch.setattr(spec.cls, "finishup", finishup)
    assert cloud.request("createDomain", cloud.root, name="one").status_code in (503, 530)
    assert len(ended) == 1
    assert [each["name"] for each in cloud.list("listDomains", name="one", listall=True)] == ["one"]


def test_parameter_names_ignore_case_and_unknown_ones_are_ignored(cloud: Cloud):
    made = cloud.api("createDomain", NAME="one", networkDomain="one.test", _="17", madeup="x")["domain"]
    assert (made["name"], made["networkdomain"]) == ("one", "one.test")


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"page": 1}, "pagesize"),
        ({"pagesize": 10}, "page"),
        ({"page": 1, "pagesize": 501}, "500"),
        ({"page": 0, "pagesize": 10}, "page"),
        ({"page": 1, "pagesize": 0}, "pagesize"),
        ({"page": "one", "pagesize": 10}, "whole number"),
        ({"level": "9" * 30}, "level"),
        ({"name": "n" * 256}, "255"),
        ({"name": "a\x07b"}, "control"),
        ({"id": "not an id"}, "parameter id"),
    ],
)
def test_bad_parameters_are_431_and_named(cloud: Cloud, parameters: dict[str, object], says: str):
    with pytest.raises(Refused) as refused:
        cloud.api("listDomains", **parameters)
    assert refused.value.code == 431
    assert says in refused.value.text


def test_parameters_of_later_work_are_refused_by_name(cloud: Cloud):
    with pytest.raises(Refused, match="parameter ip6cidr of createNetwork is not supported") as refused:
        cloud.api("createNetwork", name="n1", ip6cidr="fd00::/64")
    assert refused.value.code == 431


@pytest.mark.parametrize("parameters", [{}, {"name": ""}, {"name": "  "}])
def test_required_parameters_are_needed(cloud: Cloud, parameters: dict[str, str]):
    with pytest.raises(Refused) as refused:
        cloud.api("createDomain", **parameters)
    assert (refused.value.code, refused.value.body["cserrorcode"]) == (431, 9999)


def test_no_limit_needs_no_page(cloud: Cloud):
    assert cloud.api("listUsers", cloud.root, pagesize=-1)["count"] >= 1


def test_pages_count_everything(cloud: Cloud):
    for number in range(5):
        cloud.api("createDomain", name=f"d{number}")
    page = cloud.api("listDomains", listall="TRUE", page=2, pagesize=2)
    assert (page["count"], [d["name"] for d in page["domain"]]) == (6, ["d1", "d2"])
    assert len(cloud.list("listDomains", listall=True, page=1, pagesize=-1)) == 6
    beyond = cloud.api("listDomains", listall=True, page=9, pagesize=2)
    assert beyond == {"count": 6}
    assert cloud.user.name  # somebody else's account
    assert cloud.api("listAccounts", listall="yes")["count"] == 1  # only "true" is true


def test_ids_may_be_internal_numbers(cloud: Cloud):
    assert cloud.list("listDomains", id=1)[0]["name"] == "ROOT"


def test_a_job_may_get_an_id_of_the_callers_choice(cloud: Cloud):
    made = cloud.api("createDomain", name="one")["domain"]
    chosen = "0A000000-0000-4000-8000-00000000000B"
    assert cloud.api("deleteDomain", id=made["id"], customjobid=chosen)["jobid"] == chosen.lower()
    cloud.wait("deleteDomain", chosen)
    again = cloud.api("createDomain", name="two")["domain"]
    for wrong in (chosen, "no uuid"):
        with pytest.raises(Refused) as refused:
            cloud.api("deleteDomain", id=again["id"], customjobid=wrong)
        assert refused.value.code == 431
    assert cloud.list("listDomains", id=again["id"])[0]["state"] == "Active"


def test_too_large_bodies_are_refused(cloud: Cloud):
    answer = cloud.send("POST", data={"command": "listDomains", "name": "x" * (2 * 1024 * 1024), "response": "json"})
    assert answer.status_code == 431
    assert "2097152" in answer.text


def test_there_is_nothing_elsewhere(cloud: Cloud):
    assert cloud.send("GET", "/").status_code == 404
    assert cloud.send("GET", "/client").status_code == 404
    assert cloud.send("PUT", "/client/api").status_code == 405
    assert cloud.send("GET", "/client/health").json() == {"status": "ok"}


def test_metrics_are_for_this_machine_only(cloud: Cloud):
    cloud.api("listDomains")
    assert 'pileus_api_requests_total{command="listDomains",status="200"}' in cloud.send("GET", "/metrics").text
    assert cloud.send("GET", "/metrics", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 404


def test_every_answer_names_its_request(cloud: Cloud):
    first, second = (cloud.request("listDomains", cloud.root).headers["x-request-id"] for _ in range(2))
    assert len(first) == 32
    assert first != second


async def _ask(app: object, url: str, **options: object) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        return await client.get(url, **options)


def test_the_integration_port_needs_no_credentials_but_is_closed_to_web_pages(cloud: Cloud):
    app = http.integration_application(cloud.services)
    url = "http://127.0.0.1:8096/client/api?command=createDomain&name=made&response=json"
    assert cloud._await(_ask(app, url)).json()["createdomainresponse"]["domain"]["name"] == "made"
    assert cloud._await(_ask(app, url, headers={"origin": "http://evil.test"})).status_code == 403
    assert cloud._await(_ask(app, url, headers={"sec-fetch-site": "cross-site"})).status_code == 403
    assert cloud._await(_ask(app, url.replace("127.0.0.1", "rebound.test"))).status_code == 403


def test_a_fault_of_the_server_is_530_without_its_insides(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    spec = commands.find("listDomains")

    def fail(*_: object) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr(spec.cls, "run", fail)
    answer = cloud.request("listDomains", cloud.root)
    assert answer.status_code == 530
    assert "secret insides" not in answer.text
    assert answer.headers["x-request-id"] in json.loads(answer.text)["listdomainsresponse"]["errortext"]


@pytest.mark.postgres
def test_a_cloud_on_postgresql(postgres_url: str, tmp_path: Path):
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        made = cloud.api("createDomain", name="one")["domain"]
        assert cloud.job("deleteDomain", id=made["id"]) == {"success": True}
        with pytest.raises(Refused) as refused:
            cloud.api("createDomain", name="two", domainid=made["id"])
        assert (refused.value.code, "exists" in refused.value.text) == (431, True)
        answer = cloud.send("GET", params={"command": "listDomains", "apiKey": "a\0b", "signature": "x"})
        assert answer.status_code == 401
