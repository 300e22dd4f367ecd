"""What every hypervisor driver must do."""

from __future__ import annotations

import threading
import time

import pytest

from pileus.drivers.hypervisors.base import Hypervisor
from pileus.wire.machines import MachineSpec
from tests.support.waiting import until


class HypervisorContract:
    """Give the fixtures `hypervisor` (with no machines) and `spec` (a machine that heeds its power button)."""

    def power(self, hypervisor: Hypervisor, spec: MachineSpec) -> str:
        return next((state.power for state in hypervisor.list() if state.name == spec.name), "none")

    @pytest.fixture(autouse=True)
    def leave_nothing(self, hypervisor: Hypervisor):
        yield
        for state in hypervisor.list():
            hypervisor.destroy(state.name)
        hypervisor.close()

    def test_version(self, hypervisor: Hypervisor):
        assert hypervisor.version()

    def test_start(self, hypervisor: Hypervisor, spec: MachineSpec):
        state = hypervisor.start(spec, {})
        assert (state.name, state.uuid, state.power) == (spec.name, spec.uuid, "on")
        assert self.power(hypervisor, spec) == "on"

    def test_start_again_changes_nothing(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        assert hypervisor.start(spec, {}).power == "on"
        assert len(hypervisor.list()) == 1

    def test_stop_forced_and_again(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        hypervisor.stop(spec.name, force=True, timeout=0)
        hypervisor.stop(spec.name, force=True, timeout=0)
        assert self.power(hypervisor, spec) == "off"
        assert hypervisor.start(spec, {}).power == "on"

    def test_stop_by_the_power_button(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        hypervisor.stop(spec.name, force=False, timeout=20)
        assert self.power(hypervisor, spec) == "off"

    def test_reboot(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        assert hypervisor.reboot(spec.name, force=False, timeout=20).power == "on"
        assert self.power(hypervisor, spec) == "on"

    def test_destroy_and_again(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        hypervisor.destroy(spec.name)
        hypervisor.destroy(spec.name)
        hypervisor.stop(spec.name, force=True, timeout=0)
        assert hypervisor.list() == []

    def test_running_machines_are_measured(self, hypervisor: Hypervisor, spec: MachineSpec):
        hypervisor.start(spec, {})
        assert hypervisor.list()
        assert hypervisor.statistics()[0].cpu_percent is None, "one look makes no share"
        time.sleep(2)
        (found,) = hypervisor.statistics()
        assert found.uuid == spec.uuid
        assert found.cpu_percent is not None
        assert 0 < found.cpu_percent <= 100, "it boots"
        assert found.memory_kib == spec.memory_mib * 1024
        volumes = {disk.volume.replace("-", "")[:20] for disk in spec.disks}
        assert {disk.volume for disk in found.disks} == volumes
        until(lambda: sum(disk.reads for disk in hypervisor.statistics()[0].disks) > 0, 20, "it reads its disk")
        hypervisor.stop(spec.name, force=True, timeout=0)
        hypervisor.list()
        assert hypervisor.statistics() == []

    def test_watch(self, hypervisor: Hypervisor, spec: MachineSpec):
        changed = threading.Event()
        hypervisor.watch(changed.set)
        changed.wait(5)
        changed.clear()
        hypervisor.start(spec, {})
        assert changed.wait(5)
