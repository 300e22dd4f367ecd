"""The storage driver `directory`, and the download of images."""

from __future__ import annotations

import subprocess
import time
import uuid
from pathlib import Path

import pytest

from pileus.drivers.storage import qcow2
from pileus.drivers.storage.base import StorageError
from pileus.drivers.storage.directory import DirectoryStorage
from pileus.wire.storage import Pool
from tests.contracts.storage import MIB, StorageContract, no_progress


@pytest.fixture
def storage() -> DirectoryStorage:
    return DirectoryStorage()


@pytest.fixture
def pool(tmp_path: Path, storage: DirectoryStorage) -> Pool:
    made = Pool(uuid=str(uuid.uuid4()), kind="directory", path=str(tmp_path / "pool"))
    storage.attach(made)
    return made


def qemu_img(*arguments: str | Path) -> str:
    command = ["qemu-img", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


class TestQcow2(StorageContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        file = tmp_path / "source.qcow2"
        qemu_img("create", "-q", "-f", "qcow2", file, 8 * MIB)
        return file

    def test_image_in_use_is_not_evicted(self, storage, pool, image, fetch):
        storage.create(self.new(pool, image), fetch, no_progress)
        with pytest.raises(StorageError) as caught:
            storage.evict(pool, image.uuid)
        assert caught.value.code == "image-in-use"

    def test_image_with_a_backing_file_is_refused(self, storage, pool, image, tmp_path):
        def evil(image, target, progress):
            qcow2.write(target, MIB, Path("/etc/shadow"), "raw")

        with pytest.raises(StorageError) as caught:
            storage.create(self.new(pool, image), evil, no_progress)
        assert caught.value.code == "image-unsafe"
        assert list((tmp_path / "pool" / "templates").iterdir()) == []

    def test_clone_takes_no_time(self, storage, pool, image, fetch):
        storage.create(self.new(pool, image), fetch, no_progress)
        began = time.perf_counter()
        storage.create(self.new(pool, image, size=2**40), fetch, no_progress)
        assert time.perf_counter() - began < 0.05

    def test_sweep_removes_what_a_crash_left(self, storage, pool):
        half = Path(pool.path) / "volumes" / f".{uuid.uuid4()}.qcow2.x.tmp"
        half.touch()
        assert storage.stats(pool).volumes == []
        storage.sweep(pool)
        assert not half.exists()


class TestRaw(StorageContract):
    format = "raw"

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        file = tmp_path / "source.raw"
        file.write_bytes(b"x" * 8 * MIB)
        return file


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/", "/etc"])
def test_pool_path(storage: DirectoryStorage, path: str):
    with pytest.raises(StorageError) as caught:
        storage.attach(Pool(uuid=str(uuid.uuid4()), kind="directory", path=path))
    assert caught.value.code == "invalid-path"


@pytest.mark.parametrize("size", [512, MIB, 2**30, 2**40 + 512, 5 * 2**43])
@pytest.mark.parametrize("with_backing", [True, False])
def test_qemu_accepts_our_headers(tmp_path: Path, size: int, with_backing: bool):
    base = tmp_path / "base.qcow2"
    qcow2.write(base, MIB)
    file = tmp_path / "image.qcow2"
    qcow2.write(file, size, base if with_backing else None)
    assert "No errors" in qemu_img("check", "-f", "qcow2", file)
    told = qcow2.read(file)
    assert told == qcow2.Header(size, str(base) if with_backing else "", False)
    write = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 512", "-c", "read -P 7 0 512", str(file)]
    subprocess.run(write, check=True, capture_output=True, timeout=60)
    assert "No errors" in qemu_img("check", "-f", "qcow2", file)
