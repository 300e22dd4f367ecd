"""Operations on the host itself."""

from __future__ import annotations

from pileus.agent.certificate import HostCertificate, NotForThisHostError
from pileus.agent.context import AgentContext
from pileus.agent.registry import OperationError, Progress, operation
from pileus.wire.enrolment import SignedCertificate, SigningRequest
from pileus.wire.hosts import HostFacts
from pileus.wire.machines import Nothing


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


def _certificate(context: AgentContext) -> HostCertificate:
    if context.certificate is None:
        raise OperationError("not-ready", "this agent keeps no certificate yet", retryable=True)
    return context.certificate
