"""The parts of the built-in template that need no tools."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pileus.images.builtin import recipe
from pileus.images.builtin.packages import BuildError, run
from pileus.images.builtin.stub import write_stub
from pileus.images.builtin.tree import load_order


@pytest.fixture
def modules(tmp_path):
    folder = tmp_path / "lib/modules/6.1"
    folder.mkdir(parents=True)
    (folder / "modules.dep").write_text(
        "net/virtio_net.ko: net/net_failover.ko core/failover.ko\n"
        "net/net_failover.ko: core/failover.ko\n"
        "core/failover.ko:\n"
        "char/virtio-rng.ko:\n"
    )
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    return folder


def test_each_module_comes_after_what_it_needs_and_only_once(modules):
    found = [file.name for file in load_order(modules, ["virtio_net", "net_failover", "virtio_rng", "ext4"])]
    assert found == ["failover.ko", "net_failover.ko", "virtio_net.ko", "virtio-rng.ko"]


def test_a_module_that_the_kernel_lacks_is_named(modules):
    with pytest.raises(BuildError, match="no module zfs"):
        load_order(modules, ["zfs"])


def test_a_failing_tool_is_quoted():
    with pytest.raises(BuildError, match="code 2"):
        run("ls", "/does/not/exist")
    with pytest.raises(BuildError, match="not installed"):
        run("no-such-tool")


def test_the_recipe_is_the_same_each_time():
    assert recipe() == recipe()
    assert len(recipe()) == 16


@pytest.mark.parametrize("size", [1 << 20, 1 << 30, 1 << 40])
def test_a_stub_is_a_valid_empty_disk(tmp_path, size):
    if shutil.which("qemu-img") is None:
        pytest.skip("no qemu-img")
    file = tmp_path / "stub.qcow2"
    write_stub(file, size)
    subprocess.run(["qemu-img", "check", "-q", str(file)], check=True, timeout=20)
    found = subprocess.run(
        ["qemu-img", "info", "--output=json", str(file)], check=True, timeout=20, capture_output=True
    )
    assert f'"virtual-size": {size}'.encode() in found.stdout
