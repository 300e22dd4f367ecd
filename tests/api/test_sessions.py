"""Signing in with a password: cookies, the session key in two places, throttling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from pileus.core import assembly, http
from pileus.core.database import now
from pileus.core.errors import RateLimited
from pileus.identity import throttle
from pileus.identity.sessions import sweep
from pileus.identity.tables import account, failure, session, user
from tests.support.cloud import PASSWORD, Cloud, Person


@pytest.fixture
def browser(cloud: Cloud) -> Cloud:
    """A cloud whose client keeps no cookies by itself between tests' steps."""
    cloud.forget_cookies()
    return cloud


def login(cloud: Cloud, username: str, password: str, **more: str) -> httpx.Response:
    form = {"command": "login", "username": username, "password": password, "response": "json"} | more
    return cloud.send("POST", data=form)


def ask(cloud: Cloud, key: str | None) -> httpx.Response:
    parameters = {"command": "listUsers", "response": "json"} | ({"sessionkey": key} if key else {})
    return cloud.send("GET", params=parameters)


def signed_in(cloud: Cloud) -> dict[str, Any]:
    answer = login(cloud, "admin", cloud.password)
    assert answer.status_code == 200
    return answer.json()["loginresponse"]


def test_login_answers_flat_with_two_cookies(browser: Cloud):
    answer = login(browser, "admin", browser.password)
    content = answer.json()["loginresponse"]
    assert content["username"] == "admin"
    assert (content["type"], content["timeout"], content["registered"]) == ("1", 1800, "false")
    assert content["managementserverid"] == browser.services.server
    cookies = answer.headers.get_list("set-cookie")
    assert [c.split("=")[0] for c in cookies] == ["JSESSIONID", "sessionkey"]
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
    assert ask(browser, content["sessionkey"]).json()["listusersresponse"]["user"][0]["username"] == "admin"


def test_a_get_cannot_sign_in(browser: Cloud):
    parameters = {"command": "login", "username": "admin", "password": browser.password, "response": "json"}
    answer = browser.send("GET", params=parameters)
    assert answer.status_code == 405
    assert "set-cookie" not in answer.headers


def test_the_name_of_the_command_ignores_case(browser: Cloud):
    form = {"command": "LOGIN", "username": "admin", "password": browser.password, "response": "json"}
    assert list(browser.send("POST", data=form).json()) == ["loginresponse"]


@pytest.mark.parametrize("key", [None, "wrong"])
def test_the_session_ends_when_its_key_is_missing_or_wrong(browser: Cloud, key: str | None):
    good = signed_in(browser)["sessionkey"]
    assert ask(browser, key).status_code == 401
    assert ask(browser, good).status_code == 401


def test_the_cookie_alone_or_another_cookie_is_not_enough(browser: Cloud):
    good = signed_in(browser)["sessionkey"]
    token = browser._http.cookies["JSESSIONID"]
    browser.forget_cookies()
    browser._http.cookies.set("JSESSIONID", token)
    assert ask(browser, good).status_code == 401


def test_a_wrong_key_in_both_places_is_not_enough(browser: Cloud):
    signed_in(browser)
    token = browser._http.cookies["JSESSIONID"]
    browser.forget_cookies()
    browser._http.cookies.set("JSESSIONID", token)
    browser._http.cookies.set("sessionkey", "guess")
    assert ask(browser, "guess").status_code == 401


def test_logout_ends_the_session(browser: Cloud):
    content = signed_in(browser)
    cookies = dict(browser._http.cookies)
    answer = browser.send("POST", data={"command": "logout", "response": "json"})
    assert answer.json() == {"logoutresponse": {"description": "success"}}
    browser._http.cookies.update(cookies)
    assert ask(browser, content["sessionkey"]).status_code == 401


@pytest.mark.parametrize(
    ("username", "password", "more"),
    [
        ("admin", "wrong", {}),
        ("nobody", "wrong", {}),
        ("admin", "", {}),
        ("system", "!", {}),
        ("admin", "", {"domain": "/none/"}),
    ],
)
def test_bad_credentials_are_531_and_all_alike(browser: Cloud, username: str, password: str, more: dict[str, str]):
    answer = login(browser, username, password or "x", **more)
    assert answer.status_code == 531
    body = answer.json()["loginresponse"]
    assert body["cserrorcode"] == 4290
    assert "wrong" in body["errortext"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("form", ["/tests/", "tests", "/tests", "ROOT/tests"])
def test_the_domain_is_a_path_with_or_without_slashes(browser: Cloud, form: str):
    assert browser.user.name == "user"
    answer = login(browser, "user", PASSWORD, domain=form)
    assert answer.status_code == (531 if form.startswith("ROOT") else 200)


def test_the_domain_may_be_an_id(browser: Cloud):
    domain = browser.user.account["domainid"]
    for name in ("domainid", "domainId"):
        content = login(browser, "user", PASSWORD, **{name: domain}).json()["loginresponse"]
        assert (content["type"], content["domainid"]) == ("0", domain)
        assert "managementserverid" not in content
    assert login(browser, "user", PASSWORD).status_code == 531


@pytest.mark.parametrize("table", [user, account])
def test_who_is_disabled_cannot_sign_in_nor_go_on(browser: Cloud, table: sa.Table):
    domain = browser.user.account["domainid"]
    key = login(browser, "user", PASSWORD, domainid=domain).json()["loginresponse"]["sessionkey"]
    with browser.services.database.write() as db:
        db.execute(sa.update(table).where(table.c.id > 2).values(state="disabled"))
    assert login(browser, "user", PASSWORD, domainid=domain).status_code == 531
    assert ask(browser, key).status_code == 401
    browser.services.plugins.pop("identity.callers")  # what is remembered for a second
    assert browser.request("listUsers", browser.user).status_code == 401


def test_a_session_slides_and_ends(browser: Cloud):
    key = signed_in(browser)["sessionkey"]
    database = browser.services.database
    with database.write() as db:
        db.execute(sa.update(session).values(expires=now() + 60))
    assert ask(browser, key).status_code == 200
    with database.write() as db:
        assert db.execute(sa.select(session.c.expires)).scalar_one() > now() + 1700
        db.execute(sa.update(session).values(expires=now() - 1))
    assert ask(browser, key).status_code == 401
    sweep(browser.services)
    with database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(session)).scalar_one() == 0


def test_guessing_is_slowed_down(browser: Cloud):
    codes = [login(browser, "admin", f"guess {n}").status_code for n in range(6)]
    assert codes == [531] * 5 + [429]
    assert login(browser, "admin", browser.password).status_code == 429
    assert login(browser, "somebody", "else").status_code == 531


def test_a_burst_of_wrong_sign_ins_is_told_no_more_than_the_free_ones(browser: Cloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throttle, "FIRST_WAIT", 60.0)  # however slow this machine is

    def guess(n: int) -> int:
        form = {"command": "login", "username": "admin", "password": f"guess {n}", "response": "json"}
        return browser.send("POST", data=form).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(guess, range(24)))
    assert sorted(codes) == [429] * 19 + [531] * 5


def test_people_who_sign_in_at_once_are_not_held_up(browser: Cloud):
    def enter(_: int) -> int:
        form = {"command": "login", "username": "admin", "password": browser.password, "response": "json"}
        return browser.send("POST", data=form).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(enter, range(24))) == {200}


def test_a_right_guess_of_a_burst_that_comes_too_late_is_refused_like_the_others(browser: Cloud):
    whom = throttle.sign_in("admin", "127.0.0.1")
    database = browser.services.database
    with database.write() as db:
        throttle.settle(db, *whom, right=True)  # compared while others were, and told first
    for _ in range(5):
        with database.write() as db:
            throttle.settle(db, *whom, right=False)
    for right in (True, False):
        with database.write() as db, pytest.raises(RateLimited):
            throttle.settle(db, *whom, right=right)


def test_guesses_of_the_current_password_are_slowed_down(cloud: Cloud):
    person = cloud.user
    own = person.account["user"][0]["id"]

    def change(current: str, caller: Person = person, of: str = own) -> int:
        given = {"password": "quite another one", "currentpassword": current}
        return cloud.request("updateUser", caller, id=of, **given).status_code

    victim = cloud.other.account["user"][0]["id"]
    assert {change("guess", of=victim) for _ in range(7)} == {531}  # nobody's tries lock somebody else out
    assert change(PASSWORD, cloud.other, victim) == 200
    codes = [change(f"guess {n}") for n in range(6)]
    assert codes == [431] * 5 + [429]
    assert change(PASSWORD) == 429
    event = cloud.list("listEvents", person, type="USER.UPDATE")[0]
    assert "current password was wrong" in event["description"]
    assert "guess" not in repr(cloud.list("listEvents", listall=True))
    assert login(cloud, "user", PASSWORD, domain="tests").status_code == 200  # nothing was changed
    with cloud.services.database.write() as db:
        db.execute(sa.update(failure).values(last=now() - 400))
    assert change(PASSWORD) == 200
    assert [change("guess") for _ in range(5)] == [431] * 5  # counted from the beginning


def test_nothing_secret_is_stored_in_the_clear(browser: Cloud):
    content = signed_in(browser)
    token = browser._http.cookies["JSESSIONID"]
    with browser.services.database.read() as db:
        rows = repr([db.execute(sa.select(table)).all() for table in (user, session)])
    for secret in (content["sessionkey"], token, browser.password, browser.root.secretkey):
        assert secret not in rows
    assert "$argon2id$" in rows


class Neighbour:
    """Another server of the same cloud: the same database and key, its own memory."""

    def __init__(self, cloud: Cloud) -> None:
        self.services = assembly.open_services(cloud.options, migrate=lambda _database: None)
        self._application = http.application(self.services)

    def post(self, command: str, cookies: str = "", **form: str) -> httpx.Response:
        """Send a request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._application)
            async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
                data = {"command": command, "response": "json"} | form
                return await client.post("/client/api", data=data, headers={"cookie": cookies})

        return asyncio.run(send())


@pytest.fixture
def servers(cloud: Cloud) -> Iterator[tuple[Neighbour, Neighbour]]:
    first, second = Neighbour(cloud), Neighbour(cloud)
    yield first, second
    for each in (first, second):
        each.services.database.close()


def test_a_session_is_good_on_every_server_and_ends_on_every_server(cloud: Cloud, servers: tuple[Neighbour, Neighbour]):
    first, second = servers
    answer = first.post("login", username="admin", password=cloud.password)
    key = answer.json()["loginresponse"]["sessionkey"]
    cookies = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    for server in servers:
        assert server.post("listUsers", cookies, sessionkey=key).status_code == 200
    assert second.post("logout", cookies).status_code == 200
    for server in servers:
        assert server.post("listUsers", cookies, sessionkey=key).status_code == 401


def test_guesses_are_counted_for_all_servers_together_and_outlive_them(
    cloud: Cloud, servers: tuple[Neighbour, Neighbour]
):
    def guess(server: Neighbour, password: str = "wrong") -> int:
        return server.post("login", username="admin", password=password).status_code

    codes = [guess(servers[n % 2]) for n in range(6)]
    assert codes == [531] * 5 + [429]
    for server in (*servers, fresh := Neighbour(cloud)):
        assert guess(server, cloud.password) == 429
    with fresh.services.database.write() as db:
        db.execute(sa.update(failure).values(last=now() - 2))
    assert guess(servers[0]) == 531
    assert guess(servers[1], cloud.password) == 429  # longer now
    with fresh.services.database.write() as db:
        db.execute(sa.update(failure).values(last=now() - 10))
    assert guess(servers[1], cloud.password) == 200
    assert guess(servers[0]) == 531  # counted from the beginning
    assert guess(servers[1], cloud.password) == 200
    with fresh.services.database.write() as db:
        assert "admin" not in repr(db.execute(sa.select(failure)).all())
        db.execute(sa.update(failure).values(last=now() - 90_000))
    throttle.sweep(fresh.services)
    with fresh.services.database.read() as db:
        assert db.execute(sa.select(failure)).all() == []
    fresh.services.database.close()


def test_an_address_that_tries_many_names_waits(browser: Cloud):
    codes = [login(browser, f"name{n}", "wrong").status_code for n in range(31)]
    assert codes == [531] * 30 + [429]
    assert login(browser, "admin", browser.password).status_code == 429


def test_the_length_of_a_session_is_a_setting(browser: Cloud):
    browser.api("updateConfiguration", name="session.timeout", value=2)
    content = signed_in(browser)
    assert content["timeout"] == 120
    with browser.services.database.write() as db:
        assert db.execute(sa.select(session.c.expires)).scalar_one() < now() + 121
        db.execute(sa.update(session).values(expires=now() - 1))
    assert ask(browser, content["sessionkey"]).status_code == 401


def test_signing_in_and_out_leaves_events(browser: Cloud):
    signed_in(browser)
    browser.send("POST", data={"command": "logout", "response": "json"})
    browser.send("POST", data={"command": "logout", "response": "json"})  # nobody, so nothing
    login(browser, "admin", "wrong")
    found = [e["type"] for e in browser.list("listEvents", listall=True) if e["type"].startswith("USER.LOG")]
    assert sorted(found) == ["USER.LOGIN", "USER.LOGOUT"]


def test_cookies_can_be_held_to_encrypted_connections(browser: Cloud):
    assert "Secure" not in login(browser, "admin", browser.password).headers["set-cookie"]
    browser.api("updateConfiguration", name="enable.secure.session.cookie", value="true")
    cookies = login(browser, "admin", browser.password).headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("Secure" in cookie for cookie in cookies)
