"""Projects: members, roles, invitations; what a project owns, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.identity.projects.tables import project_invitation
from tests.support.cloud import Cloud, Person, Refused
from tests.support.smtp import mail_server


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        ended(cloud, command, caller, **parameters)
    return caught.value


def ended(cloud: Cloud, command: str, caller: Person | None, **parameters: object) -> None:
    answer = cloud.api(command, caller, **parameters)
    if "jobid" in answer:
        cloud.wait(command, answer["jobid"])


@pytest.fixture
def project(cloud: Cloud) -> dict[str, str]:
    return cloud.job("createProject", cloud.user, name="apollo", displaytext="To the moon")


def test_a_project_has_an_admin_and_an_account_of_its_own(cloud: Cloud, project: dict[str, str]):
    assert (project["name"], project["state"], project["domain"]) == ("apollo", "Active", "tests")
    assert project["owner"] == [{"account": "user"}]
    assert project["projectaccountname"].startswith("PrjAcct-apollo-")
    assert [p["id"] for p in cloud.list("listProjects", cloud.user)] == [project["id"]]
    assert cloud.list("listProjects", cloud.other) == []
    assert cloud.list("listProjects", cloud.domain_admin) == []
    assert [p["id"] for p in cloud.list("listProjects", cloud.domain_admin, listall=True)] == [project["id"]]
    assert cloud.list("listProjects", cloud.foreign_admin, listall=True) == []
    assert [a for a in cloud.list("listAccounts", listall=True) if a["name"].startswith("PrjAcct")] == []
    assert refused(cloud, "createProject", cloud.other, name="Apollo").code == 431
    assert refused(cloud, "listProjectAccounts", cloud.other, projectid=project["id"]).code == 531


def test_members_come_and_go(cloud: Cloud, project: dict[str, str]):
    other = cloud.other
    answer = refused(cloud, "addAccountToProject", other, projectid=project["id"], account="other")
    assert answer.code == 531
    assert cloud.job("addAccountToProject", cloud.user, projectid=project["id"], account="other") == {"success": True}
    assert refused(cloud, "addAccountToProject", cloud.user, projectid=project["id"], account="other").code == 431
    assert refused(cloud, "addAccountToProject", cloud.user, projectid=project["id"], account="stranger").code == 431
    members = cloud.list("listProjectAccounts", other, projectid=project["id"])
    assert [(m["account"], m["role"], len(m["user"])) for m in members] == [
        ("user", "Admin", 1),
        ("other", "Regular", 1),
    ]
    assert refused(cloud, "updateProject", other, id=project["id"], displaytext="Mine").code == 531
    assert refused(cloud, "deleteAccountFromProject", cloud.user, projectid=project["id"], account="user").code == 431
    cloud.job("updateProject", cloud.user, id=project["id"], account="other", displaytext="Theirs")
    changed = cloud.list("listProjects", other)[0]
    assert (changed["owner"], changed["displaytext"]) == ([{"account": "other"}], "Theirs")
    assert refused(cloud, "updateProject", cloud.user, id=project["id"], displaytext="x").code == 531
    cloud.job("deleteAccountFromProject", other, projectid=project["id"], account="user")
    assert cloud.list("listProjects", cloud.user) == []
    assert refused(cloud, "deleteAccount", id=other.account["id"]).code == 536


def test_a_single_user_can_be_a_member(cloud: Cloud, project: dict[str, str]):
    user_id = cloud.other.account["user"][0]["id"]
    cloud.job("addUserToProject", cloud.user, projectid=project["id"], username="other", roletype="Admin")
    member = cloud.list("listProjectAccounts", cloud.user, projectid=project["id"], userid=user_id)[0]
    assert (member["userid"], member["username"], member["role"]) == (user_id, "other", "Admin")
    cloud.job("updateProject", cloud.other, id=project["id"], displaytext="by a user")
    cloud.job("deleteUserFromProject", cloud.user, projectid=project["id"], userid=user_id)
    assert cloud.list("listProjects", cloud.other) == []


def test_a_project_role_takes_commands_away(cloud: Cloud, project: dict[str, str]):
    id_ = project["id"]
    assert cloud.other
    role = cloud.api("createProjectRole", cloud.user, projectid=id_, name="reader")["projectrole"]
    rules = [("listProjectRole*", "allow"), ("listProjectInvitations", "allow"), ("*", "deny")]
    made = [
        cloud.api(
            "createProjectRolePermission",
            cloud.user,
            projectid=id_,
            projectroleid=role["id"],
            rule=rule,
            permission=permission,
        )["projectrolepermission"]
        for rule, permission in rules
    ]
    cloud.job("addAccountToProject", cloud.user, projectid=id_, account="other", projectroleid=role["id"])
    assert len(cloud.list("listProjectRolePermissions", cloud.other, projectid=id_)) == 3
    answer = refused(cloud, "listProjectAccounts", cloud.other, projectid=id_)
    assert (answer.code, "project role" in answer.text) == (531, True)
    order = [made[2]["id"], made[0]["id"], made[1]["id"]]
    part = {"projectid": id_, "projectroleid": role["id"]}
    assert refused(cloud, "updateProjectRolePermission", cloud.user, ruleorder=order[:2], **part).code == 431
    cloud.api("updateProjectRolePermission", cloud.user, ruleorder=order, **part)
    assert refused(cloud, "listProjectRoles", cloud.other, projectid=id_).code == 531
    cloud.api("deleteProjectRolePermission", cloud.user, projectid=id_, id=made[2]["id"])
    assert cloud.list("listProjectAccounts", cloud.other, projectid=id_)  # what no rule denies is allowed
    assert refused(cloud, "deleteProjectRole", cloud.user, projectid=id_, id=role["id"]).code == 536
    cloud.job("deleteAccountFromProject", cloud.user, projectid=id_, account="other")
    cloud.api("updateProjectRole", cloud.user, projectid=id_, id=role["id"], name="nobody")
    assert cloud.list("listProjectRoles", cloud.user, projectid=id_)[0]["name"] == "nobody"
    cloud.api("deleteProjectRole", cloud.user, projectid=id_, id=role["id"])
    assert cloud.list("listProjectRoles", cloud.user, projectid=id_) == []


def test_invitations_are_accepted_or_not(cloud: Cloud, project: dict[str, str]):
    cloud.api("updateConfiguration", name="project.invite.required", value="true")
    cloud.services.settings.reload()
    id_, name = project["id"], cloud.other.account["name"]
    cloud.job("addAccountToProject", cloud.user, projectid=id_, account=name)
    assert cloud.list("listProjects", cloud.other) == []
    (invitation,) = cloud.list("listProjectInvitations", cloud.other)
    assert (invitation["state"], invitation["account"], invitation["project"]) == ("Pending", "other", "apollo")
    assert cloud.list("listProjectInvitations", cloud.stranger) == []
    assert refused(cloud, "updateProjectInvitation", cloud.stranger, projectid=id_).code == 431
    cloud.job("updateProjectInvitation", cloud.other, projectid=id_, accept=False)
    assert cloud.list("listProjectInvitations", cloud.user, projectid=id_, state="Declined")
    cloud.job("addAccountToProject", cloud.user, projectid=id_, account="other")
    again = cloud.list("listProjectInvitations", cloud.other, activeonly=True)[0]
    assert refused(cloud, "deleteProjectInvitation", cloud.other, id=again["id"]).code == 531
    cloud.job("deleteProjectInvitation", cloud.user, id=again["id"])
    cloud.job("addAccountToProject", cloud.user, projectid=id_, account="other")
    cloud.job("updateProjectInvitation", cloud.other, projectid=id_)
    assert [p["id"] for p in cloud.list("listProjects", cloud.other)] == [id_]
    answer = refused(cloud, "addAccountToProject", cloud.user, projectid=id_, email="some@where.test")
    assert (answer.code, "project.smtp.host" in answer.text) == (431, True)


def test_a_suspended_project_gets_nothing_new(cloud: Cloud, project: dict[str, str]):
    assert cloud.other
    assert cloud.job("suspendProject", cloud.user, id=project["id"])["state"] == "Suspended"
    assert refused(cloud, "addAccountToProject", cloud.user, projectid=project["id"], account="other").code == 531
    assert cloud.job("activateProject", cloud.user, id=project["id"])["state"] == "Active"


def test_a_deleted_project_is_gone(cloud: Cloud, project: dict[str, str]):
    cloud.job("deleteProject", cloud.user, id=project["id"])
    assert cloud.list("listProjects", listall=True) == []
    assert refused(cloud, "updateProject", cloud.user, id=project["id"], displaytext="x").code == 431
    cloud.job("createProject", cloud.user, name="apollo", displaytext="again")
    cloud.job("deleteDomain", id=cloud.user.account["domainid"], cleanup=True)
    assert cloud.list("listProjects", listall=True) == []


def test_a_limit_of_projects_holds(cloud: Cloud, project: dict[str, str]):
    assert (project["vmlimit"], project["vmtotal"], project["vmrunning"]) == ("20", 0, 0)
    assert not [name for name in project if name.startswith("project") and name != "projectaccountname"]
    cloud.api("updateResourceLimit", resourcetype=5, max=1, **cloud.user.own)
    assert refused(cloud, "createProject", cloud.user, name="gemini").code == 535
    name = cloud.other.account["name"]
    cloud.job("addAccountToProject", cloud.user, projectid=project["id"], account=name)
    cloud.job("updateProject", cloud.user, id=project["id"], account=name)
    cloud.job("createProject", cloud.user, name="gemini")
    assert refused(cloud, "updateProject", cloud.other, id=project["id"], account="user").code == 535
    members = cloud.list("listProjectAccounts", cloud.other, projectid=project["id"])
    assert [m["role"] for m in members] == ["Regular", "Admin"]


def test_an_invitation_is_mailed_with_a_token(cloud: Cloud, project: dict[str, str]):
    other = cloud.other
    with mail_server() as mail:
        for name, value in (
            ("project.invite.required", "true"),
            ("project.smtp.host", "127.0.0.1"),
            ("project.smtp.port", mail.port),
            ("project.smtp.useAuth", "true"),
            ("project.smtp.username", "cloud"),
            ("project.smtp.password", "hidden"),
            ("project.email.sender", "cloud@cloud.test"),
        ):
            cloud.api("updateConfiguration", name=name, value=value)
        cloud.services.settings.reload()
        invite = {"projectid": project["id"], "email": "new@member.test", "roletype": "Admin"}
        cloud.job("addAccountToProject", cloud.user, **invite)
    (letter,) = mail.messages
    assert (letter["To"], letter["From"]) == ("new@member.test", "cloud@cloud.test")
    assert mail.credentials == ["\0cloud\0hidden"]
    token = str(letter.get_payload()).split("Token: ")[1].split()[0]
    assert refused(cloud, "updateProjectInvitation", other, projectid=project["id"], token="wrong").code == 431
    cloud.job("updateProjectInvitation", other, projectid=project["id"], token=token)
    assert refused(cloud, "updateProjectInvitation", other, projectid=project["id"], token=token).code == 431
    members = cloud.list("listProjectAccounts", other, projectid=project["id"])
    assert [(m["account"], m["role"]) for m in members] == [("user", "Admin"), ("other", "Admin")]
    late = {"projectid": project["id"], "email": "late@member.test"}
    assert refused(cloud, "addAccountToProject", other, **late).code == 530  # nobody answers at the port any more
    assert cloud.list("listProjectInvitations", other, projectid=project["id"], state="Pending") == []


def test_an_invitation_expires(cloud: Cloud, project: dict[str, str]):
    other = cloud.other
    for name, value in (("project.invite.required", "true"), ("project.invite.timeout", 30)):
        cloud.api("updateConfiguration", name=name, value=value)
    cloud.services.settings.reload()
    cloud.job("addAccountToProject", cloud.user, projectid=project["id"], account=other.account["name"])
    with cloud.services.database.write() as db:
        db.execute(sa.update(project_invitation).values(created=project_invitation.c.created - 60))
    answer = refused(cloud, "updateProjectInvitation", other, projectid=project["id"])
    assert (answer.code, "expired" in answer.text) == (431, True)
    assert [i["state"] for i in cloud.list("listProjectInvitations", other)] == ["Expired"]
    assert cloud.list("listProjectInvitations", other, activeonly=True) == []


def test_users_create_projects_where_they_may(cloud: Cloud):
    user = cloud.user
    cloud.api("updateConfiguration", name="allow.user.create.projects", value="false")
    cloud.services.settings.reload()
    assert refused(cloud, "createProject", user, name="apollo").code == 531
    cloud.job("createProject", cloud.domain_admin, name="apollo", **user.own)
    assert [p["name"] for p in cloud.list("listProjects", user)] == ["apollo"]


@pytest.mark.postgres
def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str):
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        name = cloud.other.account["name"]
        made = cloud.job("createProject", cloud.user, name="apollo")
        cloud.api("updateResourceLimit", resourcetype=5, max=1, **cloud.user.own)
        assert refused(cloud, "createProject", cloud.user, name="gemini").code == 535
        role = cloud.api("createProjectRole", cloud.user, projectid=made["id"], name="looker")["projectrole"]["id"]
        rule = {"projectid": made["id"], "projectroleid": role, "rule": "listProjectAcc*", "permission": "deny"}
        cloud.api("createProjectRolePermission", cloud.user, **rule)
        cloud.job("addAccountToProject", cloud.user, projectid=made["id"], account=name, projectroleid=role)
        assert refused(cloud, "listProjectAccounts", cloud.other, projectid=made["id"]).code == 531
        assert [p["id"] for p in cloud.list("listProjects", cloud.other)] == [made["id"]]
        assert cloud.list("listEvents", cloud.other, projectid=-1)
        copy = cloud.list("listRoles", name="User")[0]["id"]
        assert cloud.api("createRole", name="copy", roleid=copy)["role"]["type"] == "User"
        cloud.job("deleteProject", cloud.user, id=made["id"], cleanup=True)
        assert cloud.list("listProjects", listall=True) == []


def test_events_of_a_project_are_archived_and_deleted_by_their_ids(cloud: Cloud, project: dict[str, str]):
    def ids(**filters: object) -> list[str]:
        return [event["id"] for event in cloud.list("listEvents", cloud.user, projectid=project["id"], **filters)]

    first, second, *_ = ids()
    cloud.api("archiveEvents", cloud.user, ids=first)
    assert first not in ids()
    assert ids(archived=True) == [first]
    cloud.api("deleteEvents", cloud.user, ids=second)
    assert second not in ids()
    cloud.api("deleteEvents", ids=first)
    assert ids(archived=True) == []
