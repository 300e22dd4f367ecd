"""The channel end to end: real HTTPS, a real agent process, kill -9."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from pileus.core import pki
from pileus.core.channel import Address, HttpsChannel
from pileus.core.mtls import client_context
from pileus.wire.operations import Answer, Operation
from tests.agent.channel.conftest import AgentProcess, op
from tests.support.management import ManagementServer
from tests.support.waiting import until


def deliver(management: ManagementServer, agent: AgentProcess, *operations: Operation) -> list[Answer]:
    """Deliver operations, all at once, as the courier does."""

    async def go() -> list[Answer]:
        channel = HttpsChannel(client_context(*management.keys()))
        try:
            return list(await asyncio.gather(*(channel.deliver(agent.address, each) for each in operations)))
        finally:
            await channel.close()

    return asyncio.run(go())


def test_operation_is_done_and_a_repeat_has_the_same_answer(management, agent):
    operation = op(text="one")
    (first,) = deliver(management, agent, operation)
    assert (first.state, first.result) == ("done", {"text": "one"})
    assert deliver(management, agent, operation, operation) == [first, first]
    assert agent.effects() == ["begin one", "end one"]


def test_repeat_joins_the_running_one(management, agent):
    operation = msgspec.structs.replace(op(), arguments={"text": "long", "seconds": 3})
    answers = deliver(management, agent, operation, operation, operation)
    assert {answer.state for answer in answers} == {"done"}
    assert agent.effects() == ["begin long", "end long"]


def test_one_object_one_operation_at_a_time(management, agent):
    work = [msgspec.structs.replace(op(fence=5), arguments={"text": str(n), "seconds": 0.3}) for n in range(3)]
    deliver(management, agent, *work)
    effects = agent.effects()
    assert len(effects) == 6
    for begin, end in zip(effects[::2], effects[1::2], strict=True):
        assert begin.replace("begin", "end") == end


def test_failures(management, agent):
    broken, crashed, unknown, bad = deliver(
        management,
        agent,
        op("test.fail", text="x"),
        op("test.crash", key="b"),
        op("test.unknown", key="c"),
        op(key="d", text=5),
    )
    assert broken.failure is not None
    assert (broken.failure.code, broken.failure.retryable, broken.failure.detail) == ("broken", True, "x")
    assert crashed.failure is not None
    assert crashed.failure.code == "internal"
    assert unknown.failure is not None
    assert unknown.failure.code == "unknown-operation"
    assert bad.failure is not None
    assert bad.failure.code == "invalid-arguments"


def test_older_fence_is_refused_also_after_a_restart(management, agent):
    assert deliver(management, agent, op(fence=7, text="new"))[0].state == "done"
    assert deliver(management, agent, op(fence=6, text="old"))[0].state == "refused"
    agent.end()
    agent.start()
    assert deliver(management, agent, op(fence=6, text="old"))[0].state == "refused"
    assert deliver(management, agent, op(fence=7, text="same"))[0].state == "done"
    assert deliver(management, agent, op(fence=1, key="other", text="x"))[0].state == "done"
    assert not any("old" in effect for effect in agent.effects())


@pytest.mark.parametrize(("kind", "state"), [("test.work", "done"), ("test.once", "lost")])
def test_killed_agent_resumes_or_tells_the_loss(management, agent, kind, state):
    operation = msgspec.structs.replace(op(kind), arguments={"text": "w", "seconds": 2})

    async def go() -> Answer:
        channel = HttpsChannel(client_context(*management.keys()))
        waiting = asyncio.create_task(channel.deliver(agent.address, operation))
        await asyncio.to_thread(until, lambda: agent.effects() == ["begin w"], 15)
        await asyncio.to_thread(agent.end)
        await asyncio.sleep(0.5)
        agent.start()
        try:
            return await waiting
        finally:
            await channel.close()

    answer = asyncio.run(go())
    assert answer.state == state
    assert agent.effects().count("end w") == (1 if state == "done" else 0)
    assert deliver(management, agent, operation) == [answer]


def test_agent_that_starts_late_is_waited_for(management, agent):
    agent.end()
    operation = op(text="late")

    async def go() -> Answer:
        channel = HttpsChannel(client_context(*management.keys()))
        waiting = asyncio.create_task(channel.deliver(agent.address, operation))
        await asyncio.sleep(1)
        agent.start()
        try:
            return await waiting
        finally:
            await channel.close()

    assert asyncio.run(go()).state == "done"


def test_deadline_of_a_dead_host_is_a_retryable_timeout(management, agent):
    agent.end()
    began = time.monotonic()
    (answer,) = deliver(management, agent, op(seconds=1.5))
    assert answer.failure is not None
    assert (answer.failure.code, answer.failure.retryable) == ("timeout", True)
    assert time.monotonic() - began < 5


def test_deadline_ends_an_operation_on_the_host(management, agent):
    slow = msgspec.structs.replace(op(seconds=3), arguments={"text": "slow", "seconds": 60})
    (answer,) = deliver(management, agent, slow)
    assert answer.failure is not None
    assert answer.failure.code == "timeout"
    assert deliver(management, agent, op(text="next"))[0].state == "done"
    assert "end slow" not in agent.effects()


def test_abort(management, agent):
    slow = msgspec.structs.replace(op(), arguments={"text": "slow", "seconds": 15})

    async def go() -> Answer:
        channel = HttpsChannel(client_context(*management.keys()))
        waiting = asyncio.create_task(channel.deliver(agent.address, slow))
        await asyncio.to_thread(until, lambda: agent.effects() == ["begin slow"], 15)
        await channel.abort(agent.address, slow.id)
        try:
            return await waiting
        finally:
            await channel.close()

    assert asyncio.run(go()).state == "aborted"


def ask(agent: AgentProcess, context: ssl.SSLContext) -> httpx.Response:
    with httpx.Client(verify=context, trust_env=False) as client:
        extensions = {"sni_hostname": agent.host}
        return client.get(f"{agent.address.url}/operations/none", extensions=extensions)


def test_only_servers_of_this_cloud_are_let_in(management, agent, tmp_path: Path):
    certificate, key, authority = management.keys()
    deliver(management, agent, op())
    assert ask(agent, client_context(certificate, key, authority)).status_code == 404
    host = client_context(agent.keys / "agent.crt", agent.keys / "agent.key", authority)
    assert ask(agent, host).status_code == 403
    with pytest.raises(httpx.TransportError):
        ask(agent, client_context(None, None, authority))
    foreign = tmp_path / "foreign"
    pki.Authority.open(foreign).issue_server("one", ["127.0.0.1"], foreign)
    with pytest.raises(httpx.TransportError):
        ask(agent, client_context(foreign / "server.crt", foreign / "server.key", authority))


def test_a_host_at_another_hosts_address_is_not_believed(management, agent):
    other = Address("00000000-0000-4000-8000-000000000000", agent.address.url)

    async def go() -> Answer:
        channel = HttpsChannel(client_context(*management.keys()))
        try:
            return await channel.deliver(other, op(seconds=2, text="stolen"))
        finally:
            await channel.close()

    answer = asyncio.run(go())
    assert answer.failure is not None
    assert answer.failure.code == "timeout"
    assert "certificate" in answer.failure.detail.lower()
    assert agent.effects() == []


def test_certificates_are_renewed_before_they_end(management):
    certificate = management.keys()[0].read_text()
    now = datetime.datetime.now(datetime.UTC)
    assert pki.renewal_due(certificate) is None
    assert pki.renewal_due(certificate, now + datetime.timedelta(days=300)) is not None
    assert (management.folder / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
