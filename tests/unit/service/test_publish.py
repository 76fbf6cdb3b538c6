"""A document is replaced whole or not at all, whichever operation of the disk fails, also halfway."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from timmyd.errors import PublishError
from timmyd.service.publish import RealDisk, publish

OLD, NEW = b"old " * 1_000, b"new " * 2_000


class Killed(BaseException):
    """The process ends here: nothing after it runs, not even the cleaning up."""


class FailingDisk(RealDisk):
    """Fails at its n-th operation; a write fails after it has written half."""

    def __init__(self, fails_at: int | None, *, chunk: int = 3_000) -> None:
        super().__init__()
        self.operations = 0
        self.failed = False
        self._fails_at = fails_at
        self._chunk = chunk

    def _operation(self) -> bool:
        self.operations += 1
        if self.operations == self._fails_at:
            self.failed = True
            return True
        return False

    @staticmethod
    def _full() -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def create(self, path: Path) -> int:
        if self._operation():
            raise self._full()
        return super().create(path)

    def write(self, fd: int, data: bytes) -> int:
        if self._operation():
            os.write(fd, data[: self._chunk // 2])
            raise self._full()
        return super().write(fd, data[: self._chunk])

    def sync(self, fd: int) -> None:
        if self._operation():
            raise self._full()
        super().sync(fd)

    def replace(self, source: Path, target: Path) -> None:
        if self._operation():
            raise self._full()
        super().replace(source, target)

    def sync_folder(self, folder: Path) -> None:
        if self._operation():
            raise self._full()
        super().sync_folder(folder)


def failing_disks() -> Iterator[FailingDisk]:
    """Disks that fail at operation 1, 2, 3, … and in the end one that does not fail."""
    fails_at = 0
    while True:
        fails_at += 1
        disk = FailingDisk(fails_at)
        yield disk
        if not disk.failed:
            return


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_reader_sees_all_of_one_document_whichever_operation_fails(tmp_path: Path) -> None:
    target = tmp_path / "policy.json"
    before = open_descriptors()
    disks = 0
    for disk in failing_disks():
        disks += 1
        target.write_bytes(OLD)
        with suppress(PublishError):
            publish(NEW, target, disk=disk)

        assert target.read_bytes() in ({OLD, NEW} if disk.failed else {NEW})
        assert list(tmp_path.iterdir()) == [target]
        assert open_descriptors() == before
    assert disks == 8  # create, three writes, sync, replace, sync of the folder, none


def test_a_first_document_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "policy.json"
    for disk in failing_disks():
        target.unlink(missing_ok=True)
        with suppress(PublishError):
            publish(NEW, target, disk=disk)

        found = list(tmp_path.iterdir())
        assert found in ([], [target])
        assert all(path.read_bytes() == NEW for path in found)


def test_a_failure_is_said_with_the_place_the_reason_and_what_to_do(tmp_path: Path) -> None:
    target = tmp_path / "policy.json"
    for disk in failing_disks():
        if disk.operations:
            break
        with pytest.raises(PublishError) as caught:
            publish(NEW, target, disk=disk)
        assert str(caught.value).startswith(f"cannot publish {target}: No space left on device\n")
        assert f"write permission to, {tmp_path}" in str(caught.value)
        return


def test_what_a_killed_writer_left_is_overwritten_not_piled_up(tmp_path: Path) -> None:
    target = tmp_path / "policy.json"

    class Dies(RealDisk):
        def replace(self, source: Path, target: Path) -> None:  # noqa: ARG002 - the name of the operation
            raise Killed

    for _ in range(3):
        with suppress(Killed):
            publish(OLD, target, disk=Dies())
        assert len(list(tmp_path.iterdir())) == 1
    publish(NEW, target)

    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == NEW


def test_nobody_can_read_the_document_before_it_is_whole_and_everybody_after(
    tmp_path: Path,
) -> None:
    modes: list[int] = []

    class Watched(RealDisk):
        def write(self, fd: int, data: bytes) -> int:
            modes.append(os.fstat(fd).st_mode & 0o777)
            return super().write(fd, data)

    publish(NEW, tmp_path / "policy.json", disk=Watched())

    assert modes == [0o600]
    assert (tmp_path / "policy.json").stat().st_mode & 0o777 == 0o644


def test_a_link_that_lies_in_the_way_is_removed_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / ".policy.json.new").symlink_to(victim)
    (folder / "policy.json").symlink_to(victim)

    publish(NEW, folder / "policy.json")

    assert victim.read_bytes() == b"mine"
    assert not (folder / "policy.json").is_symlink()
    assert (folder / "policy.json").read_bytes() == NEW


def test_a_folder_in_the_place_of_the_document_is_a_failure_without_litter(tmp_path: Path) -> None:
    (tmp_path / "policy.json").mkdir()

    with pytest.raises(PublishError):
        publish(NEW, tmp_path / "policy.json")

    assert list(tmp_path.iterdir()) == [tmp_path / "policy.json"]
