"""New passwords by mail: the token that comes, what it is good for, and what nobody learns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import sqlalchemy as sa

from pileus.core.database import now
from pileus.core.jobs.tables import job
from pileus.identity.password_reset import filled, sweep
from pileus.identity.tables import account, failure, password_reset, user
from tests.support.cloud import PASSWORD, Cloud, Refused
from tests.support.smtp import MailServer, mail_server
from tests.support.waiting import until

NEW = "another password"


def post(cloud: Cloud, command: str, **parameters: str) -> httpx.Response:
    cloud.forget_cookies()
    return cloud.send("POST", data={"command": command, "response": "json"} | parameters)


def configure(cloud: Cloud, **values: Any) -> None:
    for name, value in values.items():
        cloud.api("updateConfiguration", name=f"user.password.reset.{name.replace('__', '.')}", value=value)


@pytest.fixture
def mail(cloud: Cloud) -> Iterator[MailServer]:
    """A mail server that the cloud is set up with; the user is there."""
    assert cloud.user.name == "user"
    with mail_server() as server:
        configure(
            cloud,
            enabled=True,
            email__sender="cloud@cloud.test",
            mail__domain__url="https://cloud.test/",
            smtp__host="127.0.0.1",
            smtp__port=server.port,
        )
        yield server


def text_of(message: Message) -> str:
    """Return the text of a mail, decoded."""
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)
    return body.decode()


def ask(cloud: Cloud, mail: MailServer, username: str = "user", domain: str = "/tests/") -> str:
    """Ask for a new password; return the token that is mailed."""
    before = len(mail.messages)
    answer = post(cloud, "forgotPassword", username=username, domain=domain)
    assert answer.json() == {"forgotpasswordresponse": {"success": True}}
    until(lambda: len(mail.messages) > before, 10)
    found = re.search(r"this token: (\S+)", text_of(mail.messages[-1]))
    assert found is not None
    return found[1]


def reset(cloud: Cloud, token: str, **more: str) -> httpx.Response:
    form = {"username": "user", "domain": "tests", "password": NEW, "token": token} | more
    return post(cloud, "resetPassword", **form)


def can_sign_in(cloud: Cloud, password: str) -> bool:
    with cloud.services.database.write() as db:
        db.execute(sa.delete(failure))
    return post(cloud, "login", username="user", domain="tests", password=password).status_code == 200


def jobs_ended(cloud: Cloud) -> list[str]:
    """Return the states of the jobs that have ended."""
    with cloud.services.database.read() as db:
        states = db.execute(sa.select(job.c.state).where(job.c.cmd == "forgotPassword")).scalars()
        return [state for state in states if state in ("done", "failed", "cancelled")]


def test_it_is_off_until_it_is_switched_on_and_set_up(cloud: Cloud):
    for command in ("forgotPassword", "resetPassword"):
        answer = post(cloud, command, username="admin", password="x", token="x")
        assert answer.status_code == 432
        assert "user.password.reset.enabled" in answer.text
    configure(cloud, enabled=True)
    answer = post(cloud, "forgotPassword", username="admin")
    assert answer.status_code == 534
    assert "smtp.host" in answer.text


def test_the_mailed_token_sets_a_password_once_and_ends_the_sessions(cloud: Cloud, mail: MailServer):
    login = post(cloud, "login", username="user", domain="tests", password=PASSWORD)
    cookies = "; ".join(f"{name}={value}" for name, value in login.cookies.items())
    token = ask(cloud, mail)
    (message,) = mail.messages
    assert (message["To"], message["From"]) == ("user@cloud.test", "cloud@cloud.test")
    assert can_sign_in(cloud, PASSWORD)  # until the token is used
    with cloud.services.database.read() as db:
        stored = repr(db.execute(sa.select(password_reset)).all()) + repr(db.execute(sa.select(job)).all())
    assert token not in stored
    assert reset(cloud, token).json() == {"resetpasswordresponse": {"success": True}}
    assert can_sign_in(cloud, NEW)
    assert not can_sign_in(cloud, PASSWORD)
    cloud.forget_cookies()
    form = {"command": "listZones", "response": "json", "sessionkey": login.cookies["sessionkey"]}
    assert cloud.send("POST", data=form, headers={"cookie": cookies}).status_code == 401
    assert reset(cloud, token, password="a third one").status_code == 531
    assert not can_sign_in(cloud, "a third one")
    (event, *_) = [
        e for e in cloud.list("listEvents", type="USER.UPDATE", listall=True) if "by mail" in e["description"]
    ]
    assert (event["username"], event["state"]) == ("user", "Completed")


def test_the_link_leads_to_the_web_interface(cloud: Cloud, mail: MailServer):
    configure(cloud, mail__template="{{firstName}} {{lastName}} {{ username }} <{{{resetLink}}}> {{nobody}}.")
    assert post(cloud, "forgotPassword", username="user", domain="tests").status_code == 200
    until(lambda: mail.messages, 10)
    text = text_of(mail.messages[0])
    found = re.search(r"user Test user <https://cloud.test/client/#/user/resetPassword\?([^>]*)> \.", text)
    assert found is not None
    parts = parse_qs(found[1])
    assert (parts["username"], parts["domain"]) == (["user"], ["/tests/"])
    assert reset(cloud, parts["token"][0]).status_code == 200


def test_unknown_users_are_answered_alike_and_get_nothing(cloud: Cloud, mail: MailServer):
    with cloud.services.database.write() as db:
        db.execute(sa.update(user).where(user.c.username == "user").values(state="locked"))
        db.execute(sa.update(user).where(user.c.username == "admin").values(email=""))
    asked = [("nobody", "tests"), ("user", "/none/"), ("user", "tests"), ("system", ""), ("admin", ""), ("USER ", "x")]
    answers = [post(cloud, "forgotPassword", username=name, domain=domain) for name, domain in asked]
    assert {answer.text for answer in answers} == {'{"forgotpasswordresponse":{"success":true}}'}
    assert {answer.status_code for answer in answers} == {200}
    until(lambda: jobs_ended(cloud) == ["done"] * len(asked), 10)
    assert mail.messages == []


@pytest.mark.parametrize(
    "change",
    [
        {"token": "wrong"},
        {"username": "other"},
        {"username": "nobody"},
        {"domain": ""},
    ],
)
def test_all_that_is_wrong_is_refused_alike(cloud: Cloud, mail: MailServer, change: dict[str, str]):
    assert cloud.other.name == "other"
    token = ask(cloud, mail)
    answer = reset(cloud, change.pop("token", token), **change)
    assert answer.status_code == 531
    assert answer.json()["resetpasswordresponse"]["errortext"].startswith("the token is wrong")
    assert can_sign_in(cloud, PASSWORD)
    assert reset(cloud, token).status_code == 200


def test_a_token_ends_by_itself_and_by_a_new_one(cloud: Cloud, mail: MailServer):
    first = ask(cloud, mail)
    second = ask(cloud, mail)
    assert reset(cloud, first).status_code == 531
    configure(cloud, ttl=5)
    third = ask(cloud, mail)
    assert reset(cloud, second).status_code == 531
    with cloud.services.database.write() as db:
        left = db.execute(sa.select(password_reset.c.expires)).scalar_one() - now()
        assert 240 < left <= 300
        db.execute(sa.update(password_reset).values(expires=now() - 1))
    assert reset(cloud, third).status_code == 531
    sweep(cloud.services)
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(password_reset)).all() == []


def test_a_password_that_was_changed_otherwise_ends_the_token(cloud: Cloud, mail: MailServer):
    token = ask(cloud, mail)
    cloud.api("updateUser", id=cloud.user.account["user"][0]["id"], password="by an admin")
    assert reset(cloud, token).status_code == 531
    assert can_sign_in(cloud, "by an admin")


def test_who_was_disabled_meanwhile_gets_no_password(cloud: Cloud, mail: MailServer):
    token = ask(cloud, mail)
    with cloud.services.database.write() as db:
        db.execute(sa.update(account).where(account.c.name == "user").values(state="disabled"))
    assert reset(cloud, token).status_code == 531


def test_the_policy_holds_and_leaves_the_token(cloud: Cloud, mail: MailServer):
    domain = cloud.user.account["domainid"]
    cloud.api("updateConfiguration", name="password.policy.minimum.digits", value=2, domainid=domain)
    token = ask(cloud, mail)
    answer = reset(cloud, token)
    assert answer.status_code == 431
    assert "password.policy.minimum.digits" in answer.text
    assert reset(cloud, "wrong").status_code == 531  # who has no token does not learn the rules
    assert reset(cloud, token, password="with 42").status_code == 200


def test_asking_and_guessing_are_slowed_down(cloud: Cloud, mail: MailServer):
    codes = [post(cloud, "forgotPassword", username="nobody", domain="tests").status_code for _ in range(6)]
    assert codes == [200] * 5 + [429]
    assert [reset(cloud, "guess").status_code for _ in range(6)] == [531] * 5 + [429]
    assert mail.messages == []


@pytest.mark.parametrize("command", ["forgotPassword", "resetPassword"])
def test_they_are_posts(cloud: Cloud, mail: MailServer, command: str):
    form = {"command": command, "response": "json", "username": "user", "password": NEW, "token": "x"}
    assert cloud.send("GET", params=form).status_code == 405


def test_a_mail_server_that_is_down_is_said_in_the_job(cloud: Cloud, mail: MailServer):
    configure(cloud, smtp__port=1)
    assert post(cloud, "forgotPassword", username="user", domain="tests").status_code == 200
    until(lambda: jobs_ended(cloud) == ["failed"], 20)
    with cloud.services.database.read() as db:
        result = db.execute(sa.select(job.c.result).where(job.c.cmd == "forgotPassword")).scalar_one()
    assert "could not be mailed" in str(result)
    with pytest.raises(Refused):
        cloud.api("updateConfiguration", name="user.password.reset.ttl", value=0)


def test_what_a_template_does_not_name_is_left_out():
    assert filled("{{a}} {{{ a }}} {{b}} {c} {{ }}", {"a": "{{b}}", "b": "<x>"}) == "{{b}} {{b}} <x> {c} {{ }}"
