"""Operations on the host itself."""

from __future__ import annotations

from pileus.agent.context import AgentContext
from pileus.agent.registry import OperationError, Progress, operation
from pileus.wire.hosts import HostFacts
from pileus.wire.machines import Nothing


@operation("host.facts")
def facts(context: AgentContext, arguments: Nothing, progress: Progress) -> HostFacts:
    """Tell what the host is and can do."""
    progress(0.0)
    if context.facts is None:
        raise OperationError("not-ready", "this agent is still looking at its host", retryable=True)
    return context.facts()
