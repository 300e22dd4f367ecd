"""Operations on the host itself."""

from __future__ import annotations

import re

from pileus.agent.certificate import HostCertificate, NotForThisHostError
from pileus.agent.context import AgentContext
from pileus.agent.linux.commands import CommandError, run
from pileus.agent.registry import OperationError, Progress, operation
from pileus.wire.enrolment import SignedCertificate, SigningRequest
from pileus.wire.hosts import HostFacts, HostPassword
from pileus.wire.machines import Nothing

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@operation("host.facts")
def facts(context: AgentContext, arguments: Nothing, progress: Progress) -> HostFacts:
    """Tell what the host is and can do."""
    progress(0.0)
    if context.facts is None:
        raise OperationError("not-ready", "this agent is still looking at its host", retryable=True)
    return context.facts()


@operation("host.certificate.request")
def request_certificate(context: AgentContext, arguments: Nothing, progress: Progress) -> SigningRequest:
    """Make the host's next key, and ask for a certificate for it."""
    return SigningRequest(csr=_certificate(context).request())


@operation("host.certificate.install")
def install_certificate(context: AgentContext, arguments: SignedCertificate, progress: Progress) -> None:
    """Put the certificate in place: every connection from now on uses it."""
    try:
        _certificate(context).install(arguments.certificate, host=context.host)
    except NotForThisHostError as error:
        raise OperationError("certificate", str(error)) from error


@operation("host.password")
def set_password(context: AgentContext, arguments: HostPassword, progress: Progress) -> None:
    """Give one of the host's users another password; the program reads both from its input."""
    del context, progress
    user, password = arguments.username, arguments.password
    if not _USER.fullmatch(user) or not password or any(ord(each) < 32 or ord(each) == 127 for each in password):
        raise OperationError("invalid-password", "the user name or the password is none that this host can set")
    try:
        run(["chpasswd"], text=f"{user}:{password}\n", timeout=20)
    except CommandError as error:
        text = f"the password of user {user} was not changed"
        raise OperationError("password-refused", text, detail=str(error).replace(password, "…")) from None


def _certificate(context: AgentContext) -> HostCertificate:
    if context.certificate is None:
        raise OperationError("not-ready", "this agent keeps no certificate yet", retryable=True)
    return context.certificate
