"""Domain XML: the files say what is rendered, and libvirt's schema takes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from pileus.dataplane import domain_xml, names
from pileus.wire.machines import Disk, MachineSpec, Nic, Throttle
from pileus.wire.segments import Segment

FOLDER = Path(__file__).parent
POOL = "0d6ab3a2-6a19-4b0e-8a65-2d1c7a6d0001"


def disk(device: int, **more: object) -> Disk:
    volume = f"7c2f6c7e-3b1a-4a4e-9a55-00000000000{device}"
    return Disk(volume=volume, pool=POOL, path=f"/pool/volumes/{volume}.qcow2", device=device, **more)


def nic(device: int) -> Nic:
    return Nic(
        uuid=f"{device}b9ad1d0-58c5-4a0e-8a3b-000000000001",
        mac=f"02:00:4c:4f:4f:0{device}",
        address=f"10.1.1.1{device}",
        segment=Segment(kind="vxlan", tag=5000 + device),
        device=device,
    )


SPEC = MachineSpec(
    name="i-2-12-VM",
    uuid="b7a3a0de-5c0f-4a52-a2ce-6f5c3c1a0c11",
    cpus=2,
    cpu_mhz=1000,
    memory_mib=512,
    disks=[disk(0)],
    nics=[nic(0)],
    vnc_password="12345678",
    title='Tom & "Jerry" <web>\nsecond line',
)
LARGE = MachineSpec(
    name="i-3-7-VM",
    uuid="b7a3a0de-5c0f-4a52-a2ce-6f5c3c1a0c12",
    cpus=64,
    cpu_mhz=9000,
    memory_mib=1048576,
    disks=[disk(1), disk(0), disk(2, read_only=True, format="raw")],
    nics=[nic(1), nic(0)],
    keyboard="uk",
)
THROTTLED = MachineSpec(
    name="i-3-8-VM",
    uuid="b7a3a0de-5c0f-4a52-a2ce-6f5c3c1a0c13",
    cpus=1,
    cpu_mhz=500,
    memory_mib=128,
    disks=[
        disk(
            0,
            cache="writethrough",
            throttle=Throttle(
                read_bytes_sec=1048576,
                read_bytes_sec_max=4194304,
                read_bytes_sec_max_length=10,
                write_bytes_sec=524288,
                read_iops_sec=100,
                write_iops_sec=50,
                write_iops_sec_max=200,
                write_iops_sec_max_length=5,
            ),
        ),
        disk(1, cache="writeback", throttle=Throttle(total_iops_sec=500)),
        disk(2, throttle=Throttle()),
    ],
    nics=[],
)
TUNED = MachineSpec(
    name="i-3-9-VM",
    uuid="b7a3a0de-5c0f-4a52-a2ce-6f5c3c1a0c14",
    cpus=4,
    cpu_mhz=500,
    memory_mib=128,
    disks=[disk(0, io="native"), disk(1, io="io_uring", cache="writeback"), disk(2, io="native", cache="writeback")],
    nics=[msgspec.structs.replace(nic(0), queues=4, packed=True), msgspec.structs.replace(nic(1), queues=1)],
    io_threads=1,
    extra=[
        "<memoryBacking><locked/></memoryBacking><cpu mode='host-passthrough'/>",
        "<devices><watchdog model='i6300esb' action='reset'/></devices>",
    ],
)
HERE = {
    "domain": "i-2-12-VM",
    "cloud": "5f1c",
    "prefix": "pabc",
    "console_log": "/data/agent/consoles/i-2-12-VM.log",
    "bridges": {nic(0).uuid: "pabcgx1388", nic(1).uuid: "pabcgx1389"},
}
CASES = {
    "domain_tcg": (SPEC, domain_xml.Circumstances(accelerator="tcg", **HERE)),
    "domain_kvm": (SPEC, domain_xml.Circumstances(accelerator="kvm", shares=True, **HERE)),
    "domain_limited": (
        msgspec.structs.replace(SPEC, cpu_limited=True),
        domain_xml.Circumstances(accelerator="kvm", shares=True, cpu_mhz=2500, **HERE),
    ),
    "domain_large": (LARGE, domain_xml.Circumstances(accelerator="tcg", shares=True, cache="writeback", **HERE)),
    "domain_throttled": (THROTTLED, domain_xml.Circumstances(accelerator="kvm", **HERE)),
    "domain_tuned": (TUNED, domain_xml.Circumstances(accelerator="kvm", **HERE)),
    "domain_bare": (
        MachineSpec(name="v", uuid=SPEC.uuid, cpus=1, cpu_mhz=1, memory_mib=64, disks=[], nics=[]),
        domain_xml.Circumstances(accelerator="tcg", **HERE),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_the_file_says(name: str):
    spec, here = CASES[name]
    assert domain_xml.render(spec, here) == (FOLDER / f"{name}.xml").read_text()


@pytest.mark.skipif(not shutil.which("virt-xml-validate"), reason="virt-xml-validate is not installed")
@pytest.mark.parametrize("name", CASES)
def test_valid_by_the_schema(name: str):
    command = ["virt-xml-validate", str(FOLDER / f"{name}.xml"), "domain"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_names_of_links_fit_the_kernel():
    assert len(names.tap("pabc", nic(0).uuid)) <= 15
    assert len(names.shaper("pabc", nic(0).uuid)) <= 15
