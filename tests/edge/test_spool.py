"""The spool: what is stored survives, its bounds hold, and what a disk or a stranger does to it is told."""

import contextlib
import logging
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from edge import tally
from edge.errors import BadDataError, ConfigurationError
from edge.outbox import DROP_OLDEST, Bounds
from edge.sensed import Sensed
from edge.spool import Spool
from edge.spoolfile import FILE

DAY_NS = 86_400 * 10**9


def image(number: int, size: int = 784, created_ns: int | None = None) -> Sensed:
    created_ns = time.time_ns() if created_ns is None else created_ns
    return Sensed(f"id-{number}", created_ns, b"camera", bytes([number % 256]) * size, "Bag", None)


def fill(spool: Spool, *numbers: int) -> list[bool]:
    return [spool.put(image(number)) for number in numbers]


def ids(spool: Spool, count: int = 10_000) -> list[str]:
    return [sensed.id for _, sensed in spool.take(count, 10**9)]


def test_images_come_out_as_they_went_in_also_after_a_restart(tmp_path: Path) -> None:
    first = Sensed("a", 1_700_000_000_123_456_789, b"camera\xff", b"\0\1\2", "Ankle boot", "application/x-npy")
    second = Sensed("b", 1_700_000_000_123_456_790, None, b"", None, None)
    spool = Spool(tmp_path / "deep" / "spool")
    assert (spool.put(first), spool.put(second)) == (True, True)
    assert [sensed for _, sensed in spool.take(10, 100)] == [first, second]
    spool.close()
    spool = Spool(tmp_path / "deep" / "spool")
    assert spool.left == 2
    assert [sensed for _, sensed in spool.take(10, 100)] == [first, second]
    spool.close()
    assert first.encoded().headers == [
        ("request-id", b"a"),
        ("created-ns", b"1700000000123456789"),
        ("true-label", b"Ankle boot"),
        ("content-type", b"application/x-npy"),
    ]


def test_what_is_on_the_disk_after_each_put_holds_the_image(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(5):
        spool.put(image(number))
        shutil.copytree(tmp_path / "spool", tmp_path / f"copy-{number}")
    # WAL, FULL: by SQLite's documentation each commit is synced.
    assert spool._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert spool._database.execute("PRAGMA synchronous").fetchone() == (2,)
    spool.close()
    for number in range(5):
        copy = Spool(tmp_path / f"copy-{number}")
        assert ids(copy) == [f"id-{n}" for n in range(number + 1)]
        copy.close()


def test_what_is_taken_is_not_taken_again_until_it_is_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    fill(spool, *range(6))
    taken = spool.take(3, 10**9)
    assert [number for number, _ in taken] == [1, 2, 3]
    # 784 bytes each: the second one reaches the limit.
    assert [sensed.id for _, sensed in spool.take(3, 785)] == ["id-3", "id-4"]
    assert [sensed.id for _, sensed in spool.take(3, 0)] == ["id-5"]
    assert spool.take(3, 10**9) == []
    assert spool.delete([1, 3]) is True
    spool.give_back()
    assert ids(spool) == ["id-1", "id-3", "id-4", "id-5"]
    assert (spool.left, spool.counts.sent) == (4, 2)
    spool.close()


def test_what_is_acknowledged_late_deletes_no_image_that_came_after(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    fill(spool, 0, 1)
    assert spool.delete([1, 2]) is True
    fill(spool, 2)
    assert spool.delete([1, 2]) is True
    assert ids(spool) == ["id-2"]
    assert (spool.left, spool.counts.sent) == (1, 2)
    spool.close()


def test_an_image_that_was_stored_just_before_a_crash_is_not_stored_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    fill(spool, 0, 1)
    spool.close()
    spool = Spool(tmp_path)
    assert fill(spool, 1) == [True]
    assert ids(spool) == ["id-0", "id-1"]
    spool.close()


def test_a_full_spool_refuses_until_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, Bounds(max_bytes=64 * 1024))
    taken = fill(spool, *range(100))
    stored = taken.count(True)
    assert taken == [True] * stored + [False] * (100 - stored)
    assert 40 < stored < 64
    assert (spool.left, spool.counts.stored, spool.counts.refused) == (stored, stored, 100 - stored)
    assert caplog.messages == ["1 images were not accepted: the spool is full, with 65,536 bytes (--spool-max-bytes)"]
    assert fill(spool, 99) == [False]
    assert spool.counts.refused == 100 - stored
    spool.delete([number for number, _ in spool.take(20, 10**9)])
    assert fill(spool, 99) == [True]
    assert (spool.counts.stored, spool.counts.refused) == (stored + 1, 99 - stored)
    assert ids(spool) == [f"id-{n}" for n in (*range(20, stored), 99)]
    spool.close()
    assert caplog.messages[1].startswith(f"{99 - stored} images were not accepted: ")
    assert (tmp_path / FILE).stat().st_size <= 64 * 1024


def test_a_full_spool_drops_the_oldest_when_told_to_and_counts_them_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = Bounds(max_bytes=64 * 1024, when_full=DROP_OLDEST)
    spool = Spool(tmp_path, bounds)
    assert all(fill(spool, *range(500)))
    left = ids(spool)
    assert left == [f"id-{n}" for n in range(500 - len(left), 500)]
    assert len(left) > 30
    dropped = 500 - len(left)
    assert (spool.left, spool.counts.dropped, spool.counts.dropped_ever) == (len(left), dropped, dropped)
    assert caplog.messages[0].endswith("it was full, with 65,536 bytes (--spool-max-bytes)")
    assert (tmp_path / FILE).stat().st_size <= 64 * 1024 + 8192
    spool.close()
    assert sum(int(message.split()[0]) for message in caplog.messages) == dropped
    spool = Spool(tmp_path, bounds)
    assert (spool.left, spool.counts.dropped, spool.counts.dropped_ever) == (len(left), 0, dropped)
    spool.close()


def test_what_is_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(max_bytes=64 * 1024, when_full=DROP_OLDEST))
    fill(spool, *range(40))
    assert len(spool.take(30, 10**9)) == 30
    assert all(fill(spool, *range(40, 100)))
    spool.give_back()
    assert ids(spool)[:30] == [f"id-{n}" for n in range(30)]
    # All is on its way now, so that there is nothing to drop.
    assert fill(spool, *range(100, 130))[-1] is False
    spool.close()


def test_an_image_larger_than_the_spool_is_refused_and_drops_no_other_for_good(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Bounds(max_bytes=64 * 1024, when_full=DROP_OLDEST))
    fill(spool, 0, 1)
    assert spool.put(image(2, size=100_000)) is False
    assert ids(spool) == ["id-0", "id-1"]
    assert (spool.left, spool.counts.dropped, spool.counts.refused) == (2, 0, 1)
    spool.close()


def test_what_is_too_old_is_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = time.time_ns()
    spool = Spool(tmp_path)
    for number, age_ns in enumerate((3 * DAY_NS, 2 * DAY_NS, 0)):
        spool.put(image(number, created_ns=now - age_ns))
    spool.close()
    spool = Spool(tmp_path, Bounds(max_age_s=86_400.0))
    assert ids(spool) == ["id-2"]
    assert (spool.left, spool.counts.dropped, spool.counts.dropped_ever) == (1, 2, 2)
    assert caplog.messages == ["2 images were dropped from the spool: they were older than 86400 s (--spool-max-age)"]
    spool.close()
    spool = Spool(tmp_path, Bounds(max_age_s=0.001))
    time.sleep(0.002)
    assert ids(spool) == []
    assert (spool.left, spool.counts.dropped, spool.counts.dropped_ever) == (0, 1, 3)
    spool.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(ConfigurationError, match=r"another process uses the spool .* one spool has one sender"):
        Spool(tmp_path)
    assert fill(spool, 0) == [True]
    spool.close()
    Spool(tmp_path).close()


def test_a_full_disk_refuses_the_image_and_the_next_one_is_stored_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    fill(spool, 0)
    (pages,) = spool._database.execute("PRAGMA page_count").fetchone()
    spool._database.execute(f"PRAGMA max_page_count = {pages}")
    taken = fill(spool, *range(1, 10))
    assert taken[-1] is False
    assert f"{FILE} cannot be written (database or disk is full)" in caplog.text
    assert spool.left == 1 + taken.count(True)
    spool._database.execute("PRAGMA max_page_count = 10000")
    assert fill(spool, 10) == [True]
    assert ids(spool)[-1] == "id-10"
    spool.close()


def noise(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def hole(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096 * 3 : 4096 * 6] = bytes(4096 * 3)
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: 4096 * 4])


@pytest.mark.parametrize("damage", [noise, hole, cut])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, damage: object) -> None:
    spool = Spool(tmp_path)
    fill(spool, *range(100))
    spool.close()
    assert callable(damage)
    damage(tmp_path / FILE)
    told = r"the spool .* is damaged .*: move it and spool.sqlite-wal away"
    with pytest.raises(BadDataError, match=told), contextlib.closing(Spool(tmp_path)) as spool:
        ids(spool)
    # Whoever does so can go on.
    (tmp_path / FILE).unlink()
    spool = Spool(tmp_path)
    assert fill(spool, 0) == [True]
    spool.close()


def test_a_file_of_another_version_or_program_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / FILE)
    database.execute("CREATE TABLE other (x)")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ConfigurationError, match="no spool of this version"):
        Spool(tmp_path)
    database = sqlite3.connect(tmp_path / FILE)
    assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("other",)]
    database.close()
    assert len((tmp_path / FILE).read_bytes()) == len(before)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"the spool .*file/spool cannot be used"):
        Spool(tmp_path / "file" / "spool")
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot be used .*unable to open database file"):
        Spool(tmp_path)


def test_many_images_are_told_in_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge")
    many = tally.Tally("%(count)d images: %(reason)s")
    for _ in range(1000):
        many.note("why")
    many.tell(is_last=True)
    many.tell(is_last=True)
    assert caplog.messages == ["1 images: why", "999 images: why"]
