"""What every primary storage driver must do."""

from __future__ import annotations

import concurrent.futures
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pileus.drivers.storage.base import Storage, StorageError
from pileus.wire.storage import Image, Pool, VolumeSpec

MIB = 2**20


def no_progress(fraction: float) -> None:
    """Ignore the progress."""


class StorageContract:
    """Give the fixtures `storage`, `pool` (attached already) and `source` (a file in the store, 8 MiB virtual)."""

    format = "qcow2"

    @pytest.fixture
    def image(self, source: Path) -> Image:
        return Image(
            uuid=str(uuid.uuid4()),
            url="https://store/image",
            checksum="{SHA-256}00",
            format=self.format,
            size=source.stat().st_size,
        )

    @pytest.fixture
    def fetch(self, source: Path):
        def copy(image: Image, target: Path, progress: Callable[[float], None]) -> None:
            copy.times += 1
            progress(0.5)
            shutil.copyfile(source, target)

        copy.times = 0
        return copy

    def new(self, pool: Pool, image: Image | None = None, size: int = 16 * MIB) -> VolumeSpec:
        return VolumeSpec(uuid=str(uuid.uuid4()), pool=pool, size=size, image=image, format=self.format)

    def test_attach_again(self, storage: Storage, pool: Pool):
        state = storage.attach(pool)
        assert state.uuid == pool.uuid
        assert 0 < state.used <= state.capacity

    @pytest.mark.parametrize("provisioning", ["sparse", "fat"])
    def test_volumes_that_share_nothing(self, storage: Storage, pool: Pool, image: Image, fetch, provisioning: str):
        """They are as large as asked for, with the template's content, and fat ones have taken all of their room."""
        for made_from in (None, image):
            spec = msgspec.structs.replace(self.new(pool, made_from), provisioning=provisioning)
            state = storage.create(spec, fetch, no_progress)
            assert (state.uuid, state.size) == (spec.uuid, 16 * MIB)
            if provisioning == "fat":
                assert state.physical >= 16 * MIB
            again = storage.create(spec, fetch, no_progress)
            assert (again.size, again.path) == (state.size, state.path)
            storage.delete(pool, spec.uuid)

    def test_blank_volume(self, storage: Storage, pool: Pool, fetch):
        spec = self.new(pool)
        state = storage.create(spec, fetch, no_progress)
        assert (state.uuid, state.size) == (spec.uuid, 16 * MIB)
        assert storage.stat(pool, spec.uuid).path == state.path
        assert storage.stats(pool).volumes == [spec.uuid]
        assert fetch.times == 0

    def test_volume_of_image_is_fetched_once(self, storage: Storage, pool: Pool, image: Image, fetch):
        first = storage.create(self.new(pool, image), fetch, no_progress)
        second = storage.create(self.new(pool, image, size=0), fetch, no_progress)
        assert (first.size, second.size) == (16 * MIB, 8 * MIB)
        assert fetch.times == 1

    def test_create_is_idempotent(self, storage: Storage, pool: Pool, image: Image, fetch):
        spec = self.new(pool, image)
        assert storage.create(spec, fetch, no_progress).path == storage.create(spec, fetch, no_progress).path
        assert storage.stats(pool).volumes == [spec.uuid]

    def test_concurrent_creates_share_one_fetch(self, storage: Storage, pool: Pool, image: Image, fetch):
        together = threading.Barrier(8)

        def create(_: int) -> str:
            together.wait(10)
            return storage.create(self.new(pool, image), fetch, no_progress).uuid

        with concurrent.futures.ThreadPoolExecutor(8) as workers:
            made = sorted(workers.map(create, range(8)))
        assert storage.stats(pool).volumes == made
        assert fetch.times == 1

    def test_failed_fetch_leaves_nothing(self, storage: Storage, pool: Pool, image: Image, fetch):
        def broken(image: Image, target: Path, progress: Callable[[float], None]) -> None:
            target.write_bytes(b"half")
            raise StorageError("image-fetch", "lost", retryable=True)

        spec = self.new(pool, image)
        with pytest.raises(StorageError, match="lost"):
            storage.create(spec, broken, no_progress)
        assert storage.stats(pool).volumes == []
        assert storage.create(spec, fetch, no_progress).size == 16 * MIB

    def test_smaller_than_image(self, storage: Storage, pool: Pool, image: Image, fetch):
        with pytest.raises(StorageError) as caught:
            storage.create(self.new(pool, image, size=4 * MIB), fetch, no_progress)
        assert caught.value.code == "invalid-size"
        assert storage.stats(pool).volumes == []

    def test_resize(self, storage: Storage, pool: Pool, fetch):
        spec = self.new(pool)
        storage.create(spec, fetch, no_progress)
        assert storage.resize(pool, spec.uuid, 32 * MIB).size == 32 * MIB
        assert storage.resize(pool, spec.uuid, 32 * MIB).size == 32 * MIB
        with pytest.raises(StorageError) as caught:
            storage.resize(pool, spec.uuid, 8 * MIB)
        assert caught.value.code == "invalid-size"

    def test_delete_twice(self, storage: Storage, pool: Pool, fetch):
        spec = self.new(pool)
        storage.create(spec, fetch, no_progress)
        storage.delete(pool, spec.uuid)
        storage.delete(pool, spec.uuid)
        assert storage.stats(pool).volumes == []
        with pytest.raises(StorageError) as caught:
            storage.stat(pool, spec.uuid)
        assert caught.value.code == "volume-missing"

    @pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "0" * 32])
    def test_only_uuids_are_names(self, storage: Storage, pool: Pool, name: str):
        for act in (storage.delete, storage.stat, storage.evict):
            with pytest.raises(StorageError) as caught:
                act(pool, name)
            assert caught.value.code == "invalid-uuid"

    def test_evict(self, storage: Storage, pool: Pool, image: Image, fetch):
        spec = self.new(pool, image)
        storage.create(spec, fetch, no_progress)
        storage.delete(pool, spec.uuid)
        storage.evict(pool, image.uuid)
        storage.evict(pool, image.uuid)
        storage.create(spec, fetch, no_progress)
        assert fetch.times == 2
