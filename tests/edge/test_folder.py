"""A watched folder: complete files, each once, oldest first, whatever else happens in it."""

import logging
import os
from pathlib import Path

import pytest

from edge import folder as folder_module
from edge.errors import BadDataError, ConfigurationError
from edge.folder import Folder
from edge.sensed import Sensed
from tests.system.processes import wait_until


def decode(data: bytes) -> tuple[bytes, str | None]:
    if data.startswith(b"broken"):
        raise BadDataError("it is broken")
    return data, "application/x-npy"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(folder_module, "SETTLE_S", 0.0)
    monkeypatch.setattr(folder_module, "RETRY_S", 0.0)
    caplog.set_level(logging.INFO, "edge")


def put(path: Path, content: bytes, time_s: int) -> None:
    path.write_bytes(content)
    os.utime(path, (time_s, time_s))


def values(folder: Folder, is_sent: bool = True) -> list[bytes]:
    found: list[bytes] = []
    while (image := folder.next()) is not None:
        found.append(image.value)
        if is_sent:
            folder.accepted(image.id)
    return found


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_files_are_taken_oldest_first_and_moved_when_they_are_sent(tmp_path: Path) -> None:
    put(tmp_path / "b.png", b"2", 2000)
    put(tmp_path / "c.JPG", b"1", 1000)
    put(tmp_path / "a.jpeg", b"3", 2000)
    for other in (".draft.png", "notes.txt", "d.png.tmp", "sent.npz"):
        put(tmp_path / other, b"no", 500)
    (tmp_path / "e.png").mkdir()
    folder = Folder(tmp_path, decode, b"camera")
    image = folder.next()
    assert image is not None
    assert (image.value, image.key, image.content_type, image.true_label) == (
        b"1",
        b"camera",
        "application/x-npy",
        None,
    )
    assert names(tmp_path / "sent") == []
    folder.accepted(image.id)
    assert names(tmp_path / "sent") == ["c.JPG"]
    assert values(folder) == [b"3", b"2"]
    assert names(tmp_path / "sent") == ["a.jpeg", "b.png", "c.JPG"]
    put(tmp_path / "f.png", b"4", 100)
    assert values(folder) == [b"4"]
    assert values(folder) == []
    assert names(tmp_path) == [".draft.png", "d.png.tmp", "e.png", "notes.txt", "sent", "sent.npz"]


def test_a_file_is_complete_when_it_has_not_changed_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(folder_module, "SETTLE_S", 0.5)
    monkeypatch.setattr("edge.folder.time.monotonic", lambda: now[0])
    folder = Folder(tmp_path, decode, None)
    put(tmp_path / "a.png", b"half", 1000)
    assert folder.next() is None
    now[0] += 0.4
    put(tmp_path / "a.png", b"half and half", 1000)
    assert folder.next() is None
    now[0] += 0.4
    assert folder.next() is None
    now[0] += 0.1
    assert values(folder) == [b"half and half"]


def test_a_file_that_changes_between_look_and_reading_waits(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"1", 1000)
    put(tmp_path / "b.png", b"2", 1001)
    folder = Folder(tmp_path, decode, None)
    first = folder.next()
    put(tmp_path / "b.png", b"22", 1001)
    assert folder.next() is None
    assert first is not None
    assert values(folder) == [b"22"]


def test_a_broken_file_is_told_once_counted_and_left_until_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "a.png", b"broken", 1000)
    put(tmp_path / "b.png", b"2", 1001)
    folder = Folder(tmp_path, decode, None)
    assert values(folder) == [b"2"]
    assert values(folder) == []
    told = [message for message in caplog.messages if "left where it is" in message]
    assert told == [f"{tmp_path / 'a.png'} is left where it is, and not sent: it is broken"]
    assert folder.broken == 1
    put(tmp_path / "a.png", b"mended", 1001)
    assert values(folder) == [b"mended"]


def test_files_that_are_too_large_or_may_not_be_read_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folder_module, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(folder_module, "MAX_VALUE_BYTES", 5)
    put(tmp_path / "a.png", bytes(11), 1000)
    put(tmp_path / "b.png", bytes(10), 1001)
    put(tmp_path / "c.png", bytes(5), 1002)
    folder = Folder(tmp_path, decode, None)
    assert values(folder) == [bytes(5)]
    assert "it has more than 10 bytes" in caplog.text
    assert "its pixels take 10 bytes, which is more than a Kafka record holds" in caplog.text
    assert folder.broken == 2


def test_what_is_on_its_way_is_not_taken_again_and_comes_with_the_same_id_after_a_crash(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"1", 1000)
    put(tmp_path / "b.png", b"1", 1000)
    first = Folder(tmp_path, decode, None)
    before = [first.next(), first.next()]
    assert first.next() is None
    second = Folder(tmp_path, decode, None)
    after = [second.next(), second.next()]
    assert [image and image.id for image in before] == [image and image.id for image in after]
    assert len({image and image.id for image in before}) == 2


def test_a_file_that_another_one_replaces_while_it_is_on_its_way_is_not_moved_for_it(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"1", 1000)
    folder = Folder(tmp_path, decode, None)
    first = folder.next()
    put(tmp_path / "a.png", b"2", 1001)
    assert first is not None
    folder.accepted(first.id)
    assert (names(tmp_path), names(tmp_path / "sent")) == (["a.png", "sent"], [])
    assert values(folder) == [b"2"]
    assert names(tmp_path / "sent") == ["a.png"]


def test_a_camera_that_uses_one_name_loses_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path, decode, None)
    for number in range(3):
        put(tmp_path / "frame.png", bytes([number]), 1000 + number)
        assert values(folder) == [bytes([number])]
    kept = names(tmp_path / "sent")
    assert len(kept) == 3
    assert {(tmp_path / "sent" / name).read_bytes() for name in kept} == {b"\0", b"\1", b"\2"}


def test_an_image_that_is_refused_comes_again_before_the_others(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.png", bytes([number]), 1000 + number)
    folder = Folder(tmp_path, decode, None)
    for _ in range(2):
        image = folder.next()
        assert isinstance(image, Sensed)
        assert image.value == b"\0"
        folder.refused(image.id)
    assert values(folder) == [b"\0", b"\1", b"\2"]


def test_files_that_vanish_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"1", 1000)
    put(tmp_path / "b.png", b"2", 1001)
    put(tmp_path / "c.png", b"3", 1002)
    folder = Folder(tmp_path, decode, None)
    first = folder.next()
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()
    assert values(folder) == [b"3"]
    assert first is not None
    folder.accepted(first.id)
    assert (names(tmp_path / "sent"), folder.broken) == (["c.png"], 0)


def test_a_link_that_leads_nowhere_is_told_once_and_stands_for_no_other_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    put(tmp_path / "good.png", b"1", 1000)
    folder = Folder(tmp_path, decode, None)
    assert values(folder) == [b"1"]
    wait_until(lambda: folder.next() is None and folder.broken == 1, "the link")
    assert [folder.next() for _ in range(20)] == [None] * 20
    assert caplog.text.count("loop.png is left where it is, and not sent") == 1
    assert "gone.png" not in caplog.text


def test_a_folder_that_goes_away_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.outage.PATIENCE_S", 0.0)
    watched, away = tmp_path / "watched", tmp_path / "away"
    watched.mkdir()
    put(watched / "a.png", b"1", 1000)
    folder = Folder(watched, decode, None)
    image = folder.next()
    watched.rename(away)
    assert [folder.next(), folder.next()] == [None, None]
    away.rename(watched)
    # What was on its way is not taken for a new file.
    assert folder.next() is None
    assert image is not None
    folder.accepted(image.id)
    told = [message for message in caplog.messages if "cannot be read" in message]
    assert len(told) == 1
    assert "can be read again" in caplog.text
    assert names(watched / "sent") == ["a.png"]


def test_where_nothing_can_be_moved_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "sent", b"a file", 1000)
    with pytest.raises(ConfigurationError, match="are moved to its folder 'sent' when they are sent, which cannot be"):
        Folder(tmp_path, decode, None)
    (tmp_path / "sent").unlink()
    put(tmp_path / "a.png", b"1", 1000)
    folder = Folder(tmp_path, decode, None)
    (tmp_path / "sent").rmdir()
    (tmp_path / "sent").touch()
    assert values(folder) == [b"1"]
    assert "a.png is sent, but cannot be moved" in caplog.text
    assert values(folder) == []
