"""Second factors: set up, proven, asked for at each log-in, refused when wrong, replayed or guessed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from pileus.core import authentication
from pileus.core.database import now
from pileus.core.dispatch import dispatch
from pileus.identity import callers, totp
from pileus.identity.tables import failure, user
from tests.support.cloud import PASSWORD, Cloud, Person, Refused

VALIDATE = "validateUserTwoFactorAuthenticationCode"
SET_UP = "setupUserTwoFactorAuthentication"
PROFILE: dict[str, Any] = {"password": PASSWORD, "firstname": "F", "lastname": "L", "email": "somebody@cloud.test"}


class Browser:
    """Somebody with a browser: cookies of the own, and the session key."""

    def __init__(self, cloud: Cloud, username: str, password: str, **more: str) -> None:
        self.cloud = cloud
        cloud.forget_cookies()
        form = {"command": "login", "username": username, "password": password, "response": "json"} | more
        answer = cloud.send("POST", data=form)
        assert answer.status_code == 200, answer.text
        self.content: dict[str, Any] = answer.json()["loginresponse"]
        self._cookies = {name: answer.cookies[name] for name in ("JSESSIONID", "sessionkey")}

    def send(self, command: str, **parameters: str) -> httpx.Response:
        self.cloud.forget_cookies()
        form = {"command": command, "response": "json", "sessionkey": self.content["sessionkey"]} | parameters
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return self.cloud.send("POST", data=form, headers={"cookie": cookie})

    def call(self, command: str, **parameters: str) -> dict[str, Any]:
        answer = self.send(command, **parameters)
        (content,) = answer.json().values()
        if answer.status_code != 200:
            raise Refused(command, answer.status_code, content["errortext"], content)
        return content


@pytest.fixture
def secure(cloud: Cloud) -> Cloud:
    """A cloud whose users may set up second factors."""
    cloud.api("updateConfiguration", name="enable.user.2fa", value="true")
    return cloud


def sign_in(cloud: Cloud, person: Person) -> Browser:
    return Browser(cloud, person.name, PASSWORD, domainid=person.account["domainid"])


def shown(cloud: Cloud, person: Person) -> dict[str, Any]:
    return cloud.list("listUsers", id=person.account["user"][0]["id"])[0]


def code(secret: str, steps: int = 0) -> str:
    return totp.code_at(secret, int(now() // totp.STEP_SECONDS) + steps)


def forget_step(cloud: Cloud) -> None:
    """Let the codes that were used be good again, as if half a minute had passed."""
    with cloud.services.database.write() as db:
        db.execute(sa.update(user).values(two_factor_step=None))


def set_up(browser: Browser, provider: str = "totp") -> str:
    """Set up a factor and prove it; return its secret."""
    secret = browser.call(SET_UP, provider=provider)["setup2fa"]["secretcode"]
    browser.call(VALIDATE, codefor2fa=code(secret) if provider == "totp" else secret)
    forget_step(browser.cloud)
    return secret


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_the_rfc(moment: int, expected: str):
    """RFC 6238, appendix B: the secret is 12345678901234567890."""
    assert totp.code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", moment // totp.STEP_SECONDS, 8) == expected


def test_the_providers_are_listed(cloud: Cloud):
    found = cloud.list("listUserTwoFactorAuthenticatorProviders", cloud.user)
    assert {each["name"] for each in found} == {"totp", "staticpin"}
    (one,) = cloud.list("listUserTwoFactorAuthenticatorProviders", cloud.user, name="TOTP")
    assert one["name"] == "totp"
    with pytest.raises(Refused) as refused:
        cloud.api("listUserTwoFactorAuthenticatorProviders", cloud.user, name="carrier pigeon")
    assert refused.value.code == 431


def test_where_it_is_off_nothing_is_set_up_or_asked(cloud: Cloud):
    browser = sign_in(cloud, cloud.user)
    assert (browser.content["is2faenabled"], browser.content["is2faverified"]) == ("false", "true")
    assert browser.send(SET_UP).status_code == 531
    with pytest.raises(Refused) as refused:
        cloud.api("updateUser", id=cloud.user.account["user"][0]["id"], mandate2fa=True)
    assert "enable.user.2fa" in refused.value.text
    cloud.api("updateConfiguration", name="mandate.user.2fa", value="true")
    assert sign_in(cloud, cloud.user).content["is2faenabled"] == "false"


def test_a_factor_is_in_force_once_it_is_proven(secure: Cloud):
    browser = sign_in(secure, secure.user)
    made = browser.call(SET_UP, provider="TOTP")["setup2fa"]
    assert made["username"] == "user"
    assert made["id"] == secure.user.account["user"][0]["id"]
    assert made["accountid"] == secure.user.account["id"]
    assert shown(secure, secure.user)["is2faenabled"] is False
    assert sign_in(secure, secure.user).content["is2faenabled"] == "false"  # a mistyped secret locks nobody out
    again = browser.call(SET_UP)["setup2fa"]["secretcode"]
    assert again != made["secretcode"]
    assert browser.send(VALIDATE, codefor2fa=code(made["secretcode"])).status_code == 511
    assert browser.call(VALIDATE, codefor2fa=code(again)) == {"success": True}
    assert shown(secure, secure.user)["is2faenabled"] is True
    assert browser.send("listZones").status_code == 200
    with secure.services.database.read() as db:
        rows = repr(db.execute(sa.select(user)).all())
    assert again not in rows


def test_the_code_is_asked_for_at_the_next_log_in(secure: Cloud):
    secret = set_up(sign_in(secure, secure.user))
    browser = sign_in(secure, secure.user)
    content = browser.content
    assert (content["is2faenabled"], content["is2faverified"]) == ("true", "false")
    assert (content["providerfor2fa"], content["issuerfor2fa"]) == ("totp", "CloudStack")
    refused = browser.send("listZones")
    assert refused.status_code == 511
    body = refused.json()["listzonesresponse"]
    assert body["errorcode"] == 511
    assert "cserrorcode" not in body
    assert browser.send("listApis").status_code == 200
    assert browser.send("listUserTwoFactorAuthenticatorProviders").status_code == 200
    assert browser.send(VALIDATE, codefor2fa="000000").status_code == 511
    assert browser.send("listZones").status_code == 511
    browser.call(VALIDATE, codefor2fa=code(secret))
    assert browser.send("listZones").status_code == 200


def test_who_only_has_the_password_cannot_change_or_remove_the_factor(secure: Cloud):
    set_up(sign_in(secure, secure.user))
    thief = sign_in(secure, secure.user)
    own = secure.user.account["user"][0]["id"]
    for parameters in ({}, {"provider": "staticpin"}, {"enable": "false"}, {"enable": "false", "userid": own}):
        assert thief.send(SET_UP, **parameters).status_code == 511
    assert shown(secure, secure.user)["is2faenabled"] is True
    assert thief.send("registerUserKeys", id=own).status_code == 511


def test_a_code_is_good_for_once(secure: Cloud):
    secret = set_up(sign_in(secure, secure.user))
    now_ = code(secret)
    sign_in(secure, secure.user).call(VALIDATE, codefor2fa=now_)
    other = sign_in(secure, secure.user)
    assert other.send(VALIDATE, codefor2fa=now_).status_code == 511
    assert other.send(VALIDATE, codefor2fa=code(secret, -1)).status_code == 511
    other.call(VALIDATE, codefor2fa=code(secret, 1))  # a clock that is half a minute ahead


def test_codes_of_other_times_are_wrong(secure: Cloud):
    secret = set_up(sign_in(secure, secure.user))
    browser = sign_in(secure, secure.user)
    for steps in (-3, 3):
        assert browser.send(VALIDATE, codefor2fa=code(secret, steps)).status_code == 511


def test_guessing_codes_is_slowed_down_whatever_the_session_or_address(secure: Cloud):
    secret = set_up(sign_in(secure, secure.user))
    codes = [sign_in(secure, secure.user).send(VALIDATE, codefor2fa="xyz").status_code for _ in range(6)]
    assert codes == [511] * 5 + [429]
    assert sign_in(secure, secure.user).send(VALIDATE, codefor2fa=code(secret)).status_code == 429
    with secure.services.database.write() as db:
        db.execute(sa.update(failure).values(last=now() - 400))
    sign_in(secure, secure.user).call(VALIDATE, codefor2fa=code(secret))
    with secure.services.database.read() as db:
        assert db.execute(sa.select(failure)).all() == []


def test_a_pin_stays(secure: Cloud):
    pin = set_up(sign_in(secure, secure.user), "staticpin")
    assert len(pin) == 6
    assert pin.isdigit()
    for _ in range(2):
        browser = sign_in(secure, secure.user)
        assert browser.content["providerfor2fa"] == "staticpin"
        assert browser.send("listZones").status_code == 511
        browser.call(VALIDATE, codefor2fa=pin)
        assert browser.send("listZones").status_code == 200


def test_the_default_provider_and_the_issuer_are_settings_of_the_domain(secure: Cloud):
    domain = secure.user.account["domainid"]
    secure.api("updateConfiguration", name="user.2fa.default.provider", value="staticpin", domainid=domain)
    secure.api("updateConfiguration", name="user.2fa.issuer", value="The Cellar", domainid=domain)
    with pytest.raises(Refused):
        secure.api("updateConfiguration", name="user.2fa.default.provider", value="pigeon")
    browser = sign_in(secure, secure.user)
    pin = browser.call(SET_UP)["setup2fa"]["secretcode"]
    browser.call(VALIDATE, codefor2fa=pin)
    assert sign_in(secure, secure.user).content["issuerfor2fa"] == "The Cellar"
    assert browser.send(SET_UP, provider="smoke").status_code == 431
    assert browser.send(SET_UP, provider="totp").status_code == 431  # there is one already


@pytest.mark.parametrize("how", ["setting", "user"])
def test_who_must_have_one_sets_it_up_at_the_first_log_in(secure: Cloud, how: str):
    own = secure.user.account["user"][0]["id"]
    if how == "setting":
        domain = secure.user.account["domainid"]
        secure.api("updateConfiguration", name="mandate.user.2fa", value="true", domainid=domain)
        assert shown(secure, secure.stranger)["is2famandated"] is False
    else:
        assert secure.api("updateUser", id=own, mandate2fa=True)["user"]["is2famandated"] is True
    assert shown(secure, secure.user)["is2famandated"] is True
    browser = sign_in(secure, secure.user)
    assert (browser.content["is2faenabled"], browser.content["is2faverified"]) == ("true", "false")
    assert "providerfor2fa" not in browser.content
    assert browser.send("listZones").status_code == 511
    assert browser.send(SET_UP, enable="false").status_code == 511
    secret = browser.call(SET_UP)["setup2fa"]["secretcode"]
    assert browser.send("listZones").status_code == 511
    browser.call(VALIDATE, codefor2fa=code(secret))
    assert browser.send("listZones").status_code == 200


def test_keys_need_no_code(secure: Cloud):
    secure.api("updateConfiguration", name="mandate.user.2fa", value="true")
    assert secure.list("listZones", secure.user) == []
    made = secure.api(SET_UP, secure.user)["setup2fa"]
    secure.api(VALIDATE, secure.user, codefor2fa=code(made["secretcode"]))
    assert secure.list("listZones", secure.user) == []
    assert shown(secure, secure.user)["is2faenabled"] is True
    secure.api(SET_UP, secure.user, enable=False)  # the way back of who has lost the application
    assert shown(secure, secure.user)["is2faenabled"] is False


def test_proving_a_new_factor_ends_the_other_sessions(secure: Cloud):
    old = sign_in(secure, secure.user)
    new = sign_in(secure, secure.user)
    set_up(new)
    assert old.send("listZones").status_code == 401
    assert new.send("listZones").status_code == 200


def test_admins_take_away_what_was_lost_and_nobody_else_does(secure: Cloud):
    set_up(sign_in(secure, secure.user))
    own = secure.user.account["user"][0]["id"]
    waiting = sign_in(secure, secure.user)
    mate = secure.api(
        "createUser", username="mate", account="user", domainid=secure.user.account["domainid"], **PROFILE
    )["user"]
    keys = secure.api("registerUserKeys", id=mate["id"])["userkeys"]
    for caller in (secure.other, secure.foreign_admin, Person("mate", keys["apikey"], keys["secretkey"])):
        with pytest.raises(Refused) as refused:
            secure.api(SET_UP, caller, userid=own, enable=False)
        assert refused.value.code == 531
    with pytest.raises(Refused) as refused:
        secure.api(SET_UP, secure.domain_admin, userid=own)
    assert refused.value.code == 431
    secure.api(SET_UP, secure.domain_admin, userid=own, enable=False)
    assert waiting.send("listZones").status_code == 401
    assert sign_in(secure, secure.user).send("listZones").status_code == 200


def test_mandating_is_for_admins(secure: Cloud):
    own = secure.user.account["user"][0]["id"]
    with pytest.raises(Refused) as refused:
        secure.api("updateUser", secure.user, id=own, mandate2fa=False)
    assert refused.value.code == 531
    assert secure.api("updateUser", secure.domain_admin, id=own, mandate2fa=True)["user"]["is2famandated"] is True
    assert secure.api("updateUser", secure.domain_admin, id=own, mandate2fa=False)["user"]["is2famandated"] is False
    with pytest.raises(Refused):
        secure.api(VALIDATE, secure.user, codefor2fa="123456")  # none is set up


def test_a_read_only_role_proves_its_factor_but_takes_away_nobodys(secure: Cloud):
    roles = {role["name"]: role["id"] for role in secure.list("listRoles")}
    reader = secure.api("createAccount", username="reader", roleid=roles["Read-Only Admin - Default"], **PROFILE)[
        "account"
    ]
    secure.api("updateConfiguration", name="mandate.user.2fa", value="true")
    browser = Browser(secure, "reader", PASSWORD)
    set_up(browser)
    assert browser.send("listZones").status_code == 200
    victim = secure.api("createAccount", username="victim", roleid=roles["Read-Only User - Default"], **PROFILE)[
        "account"
    ]["user"][0]["id"]
    assert browser.send(SET_UP, userid=victim, enable="false").status_code == 531
    assert reader["user"][0]["is2famandated"] is False


def test_the_system_has_no_factor(secure: Cloud):
    system = authentication.identity().system(secure.services)
    answer = dispatch(secure.services, system, SET_UP, {})
    assert answer.status == 531


@pytest.mark.parametrize("how", ["everywhere", "domain", "user"])
def test_sessions_of_before_a_mandate_are_for_the_set_up_only(secure: Cloud, how: str):
    own = secure.user.account["user"][0]["id"]
    browser = sign_in(secure, secure.user)
    assert browser.send("listZones").status_code == 200
    if how == "user":
        secure.api("updateUser", id=own, mandate2fa=True)
    else:
        scope = {"domainid": secure.user.account["domainid"]} if how == "domain" else {}
        secure.api("updateConfiguration", name="mandate.user.2fa", value="true", **scope)
    callers.memory(secure.services).users.clear()  # what is remembered for a second
    refused = browser.send("listZones")
    assert refused.status_code == 511
    assert "setupUserTwoFactorAuthentication" in refused.text
    assert browser.send("updateUser", id=own, password="another one", currentpassword=PASSWORD).status_code == 511
    assert browser.send("listApis").status_code == 200
    assert secure.request("listZones", secure.user).status_code == 200  # keys need no code
    secret = browser.call(SET_UP)["setup2fa"]["secretcode"]
    assert browser.send("listZones").status_code == 511
    browser.call(VALIDATE, codefor2fa=code(secret))
    assert browser.send("listZones").status_code == 200
    elsewhere = sign_in(secure, secure.stranger)
    assert elsewhere.send("listZones").status_code == (511 if how == "everywhere" else 200)


def test_sessions_that_gave_a_code_go_on_under_a_mandate(secure: Cloud):
    browser = sign_in(secure, secure.user)
    set_up(browser)
    secure.api("updateConfiguration", name="mandate.user.2fa", value="true")
    callers.memory(secure.services).users.clear()
    assert browser.send("listZones").status_code == 200
    assert browser.send(SET_UP, enable="false").status_code == 200
    callers.memory(secure.services).users.clear()
    assert browser.send("listZones").status_code == 511  # without one, it is to be set up again
