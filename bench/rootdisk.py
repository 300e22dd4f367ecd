"""Time of the storage driver for a root disk from a template that is in the pool: `name value unit bar`, one a line.

The time does not depend on the template's size, so templates of 13 MB, 2 GiB and 20 GiB are compared.  The first disk,
for which the template is copied into the pool, is told beside.  Argument: a folder on the file system to measure on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._figures import finish, report
from pileus.drivers.storage.directory import DirectoryStorage
from pileus.wire.storage import Image, Pool, VolumeSpec

MIB = 2**20
TEMPLATES = {"13_MB": 13_000_000 // 512 * 512, "2_GiB": 2048 * MIB, "20_GiB": 20480 * MIB}
WRITTEN = 13_000_000  # bytes of data in each template
RUNS = 20
BAR = 50  # ms


def template(folder: Path, size: int) -> Path:
    """Make a qcow2 image with some data at its beginning."""
    raw, made = folder / "source.raw", folder / "source.qcow2"
    with raw.open("wb") as file, Path("/dev/urandom").open("rb") as noise:
        file.write(noise.read(WRITTEN))
        file.truncate(size)
    convert = ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(raw), str(made)]
    subprocess.run(convert, check=True, timeout=300)
    raw.unlink()
    return made


def measure(name: str, size: int, folder: Path) -> None:
    storage = DirectoryStorage()
    pool = Pool(uuid=str(uuid.uuid4()), kind="directory", path=str(folder / "pool"))
    storage.attach(pool)
    source = template(folder, size)
    image = Image(uuid=str(uuid.uuid4()), url="file", checksum="", size=source.stat().st_size, virtual_size=size)

    def fetch(image: Image, target: Path, progress: Callable[[float], None]) -> None:
        del image, progress
        shutil.copyfile(source, target)

    times: list[float] = []
    for number in range(RUNS + 1):
        spec = VolumeSpec(uuid=str(uuid.uuid4()), pool=pool, size=size, image=image)
        started = time.perf_counter()
        made = storage.create(spec, fetch, lambda fraction: None)
        seconds = time.perf_counter() - started
        if number:
            times.append(seconds)
        else:
            subprocess.run(["qemu-img", "check", "-q", made.path], check=True, timeout=60)
            report(f"rootdisk.{name}.first_with_copy", seconds * 1000, "ms")
    times.sort()
    report(f"rootdisk.{name}.median", times[RUNS // 2] * 1000, "ms")
    report(f"rootdisk.{name}.p95", times[RUNS * 95 // 100 - 1] * 1000, "ms", most=BAR)


def main() -> None:
    """Measure every template."""
    where = sys.argv[1] if len(sys.argv) > 1 else None
    for name, size in TEMPLATES.items():
        with tempfile.TemporaryDirectory(prefix="pileus-rootdisk-", dir=where) as folder:
            measure(name, size, Path(folder))
    finish()


if __name__ == "__main__":
    main()
