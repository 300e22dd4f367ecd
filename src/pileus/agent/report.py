"""The agent's heartbeat: what it sees of machines, routers and pools, every few seconds and after every change."""

from __future__ import annotations

import os
import threading

import structlog

from pileus.agent import probe
from pileus.agent.context import AgentContext
from pileus.agent.management import Management, UnreachableError
from pileus.agent.operations import machine, network, pool
from pileus.agent.statistics import Gauge
from pileus.drivers.hypervisors.base import HypervisorError
from pileus.wire.hosts import Report, RouterState
from pileus.wire.machines import MachineState

log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.2  # seconds between reports, however many machines change


class Reporter:
    """Reports in a thread of its own; a round also repairs what drifted on the network."""

    def __init__(
        self,
        context: AgentContext,
        management: Management,
        interval: float,
    ) -> None:
        self._context = context
        self._management = management
        self._interval = interval
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._sequence = 0
        self._send_facts = True
        self._reachable = True
        self._silent = False  # as the hypervisor does not answer
        self._seen_on: set[str] = set()
        self._crashed: set[str] = set()  # between the last report and the one before
        self._boot = probe.boot_id()
        self._gauge = Gauge(context.hypervisor)
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def poke(self) -> None:
        """Report soon: something changed."""
        self._wake.set()

    def stop(self) -> None:
        """Stop reporting."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(15)

    def round(self) -> None:
        """Look at everything and send one report."""
        report = self._look()
        try:
            answer = self._management.report(report)
            self._management.renew()
        except UnreachableError as error:
            if self._reachable:
                log.warning("no management server takes reports; guests go on, trying again", why=str(error))
            self._reachable = False
            return
        if not self._reachable:
            log.info("management takes reports again")
        self._reachable = True
        self._send_facts = answer.facts
        self._interval = answer.interval or self._interval
        self._gauge.follow(answer.measure)

    def _look(self) -> Report:
        self._sequence += 1
        facts = self._context.facts
        return Report(
            host=self._context.host,
            sequence=self._sequence,
            boot=self._boot,
            machines=self._machines(),
            routers=self._routers(),
            pools=pool.list_pools(self._context.data),
            load=round(os.getloadavg()[0], 2),
            memory_used_mib=probe.memory_mib()[1],
            statistics=self._gauge.due(),
            facts=facts() if facts is not None and self._send_facts else None,
        )

    def _machines(self) -> list[MachineState]:
        hypervisor = self._context.hypervisor
        if hypervisor is None:
            return []
        states = hypervisor.list()
        off = [state for state in states if state.power == "off" and state.name in self._seen_on]
        # A crash counts a report later: one that takes the agent along with its guests is put right when it comes back.
        off += [state for state in states if state.power == "crashed" and state.name in self._crashed]
        machine.note_power_off(self._context, off)
        self._crashed = {state.name for state in states if state.power == "crashed" and state.name in self._seen_on}
        self._seen_on = {state.name for state in states if state.power == "on"}
        machine.look_after(self._context)
        return states

    def _routers(self) -> list[RouterState]:
        return network.look_after(self._context)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.round()
                self._silent = False
            except HypervisorError as error:
                # A report without machines would say that all are gone: silence is the truth here.
                if not self._silent:
                    text = "no reports until the hypervisor answers again"
                    log.error(text, why=error.message, detail=error.detail)  # noqa: TRY400
                self._silent = True
            except Exception:
                log.exception("a report failed: a fault of the agent, please report it; trying again")
            self._stopping.wait(_SHORTEST_PAUSE)
            self._wake.wait(max(self._interval - _SHORTEST_PAUSE, 0.0))
