"""The client against a server that answers as the wire's description says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from pileus.client.api import Api, ApiFailure, Unreachable, signature


class Cloud(BaseHTTPRequestHandler):
    """Answers a handful of commands, and checks every signature."""

    protocol_version = "HTTP/1.1"
    polls = 0

    def do_GET(self):
        self.answer(urlsplit(self.path).query)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answer(self, form):
        sent = {name: values[-1] for name, values in parse_qs(form, keep_blank_values=True).items()}
        command = sent["command"]
        wrapper = f"{command.lower()}response"
        if sent.get("apiKey") and signature(sent, "secret") != sent["signature"]:
            self.reply(401, {wrapper: {"errorcode": 401, "errortext": "unable to verify"}})
        elif command == "listZones":
            self.reply(200, {wrapper: {"count": 1, "zone": [{"id": "z", "method": self.command, **sent}]}})
        elif command == "listPods":
            self.reply(200, {wrapper: {}})
        elif command in ("startVirtualMachine", "stopVirtualMachine"):
            self.reply(200, {wrapper: {"jobid": command}})
        elif command == "queryAsyncJobResult":
            type(self).polls += 1
            self.reply(200, {wrapper: self.job(sent["jobid"])})
        else:
            self.reply(432, {"errorresponse": {"errorcode": 432, "errortext": f"no command {command}"}})

    def job(self, name):
        if type(self).polls < 3:
            return {"jobstatus": 0, "jobid": name}
        if name == "startVirtualMachine":
            return {"jobstatus": 1, "jobresult": {"virtualmachine": {"id": "m", "state": "Running"}}}
        return {"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errorcode": 533, "errortext": "no room"}}

    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def url():
    Cloud.polls = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/client/api"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(url):
    client = Api(url, "key", "secret")
    yield client
    client.close()


def test_a_list_comes_back_signed_by_get(api):
    (zone,) = api.list("listZones", name="a b+c*~ü", available=True, absent=None)
    assert zone["method"] == "GET"
    assert zone["name"] == "a b+c*~ü"
    assert zone["available"] == "true"
    assert "absent" not in zone


def test_an_empty_list_has_no_key_at_all(api):
    assert api.list("listPods") == []


def test_a_job_is_waited_for_and_its_object_unwrapped(api):
    assert api.run("startVirtualMachine", id="m") == {"id": "m", "state": "Running"}
    assert Cloud.polls == 3


def test_a_failed_job_is_a_failure_with_its_code_and_text(api):
    with pytest.raises(ApiFailure, match="no room") as caught:
        api.run("stopVirtualMachine", id="m")
    assert caught.value.code == 533


def test_wrong_keys_and_unknown_commands_are_failures(url, api):
    stranger = Api(url, "key", "wrong")
    with pytest.raises(ApiFailure) as caught:
        stranger.call("listZones")
    assert caught.value.code == 401
    stranger.close()
    with pytest.raises(ApiFailure) as caught:
        api.call("makeCoffee")
    assert caught.value.code == 432


def test_nothing_there_says_so():
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:1/"):
        Api("http://127.0.0.1:1/client/api").call("listZones")
