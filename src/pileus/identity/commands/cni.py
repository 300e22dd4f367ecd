"""Commands of CNI configurations: what Kubernetes clusters are given for their networks, kept like user data."""

from __future__ import annotations

from typing import ClassVar

from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.errors import MissingParameter
from pileus.identity import userdata
from pileus.identity.commands.userdata import DeleteUserData, ListUserData, Registering

LONGEST = 1_048_576  # characters of base64


@command("registerCniConfiguration", event="REGISTER.CNI.CONFIG")
class RegisterCniConfiguration(Registering):
    """Keep a CNI configuration (base64), with the names of the variables in it."""

    cni: ClassVar[bool] = True

    cniconfig: str | None = None

    def check(self) -> None:
        """Check that it is there, and the names of variables."""
        super().check()
        if not (self.cniconfig or "").strip():
            raise MissingParameter("parameter cniconfig is needed: the configuration, in base64")

    def text(self, call: Call) -> str:
        """Return the configuration."""
        return userdata.checked(self.cniconfig or "", LONGEST, parameter="cniconfig")


@command("listCniConfiguration")
class ListCniConfiguration(ListUserData):
    """List CNI configurations."""

    cni: ClassVar[bool] = True


@command("deleteCniConfiguration", event="DELETE.CNI.CONFIG", manage=("id",))
class DeleteCniConfiguration(DeleteUserData):
    """Delete a CNI configuration."""

    cni: ClassVar[bool] = True
