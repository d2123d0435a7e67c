"""The log of dead letters: the first few of each kind, then sums."""

import logging

import pytest

from edge.errors import BadRequestError
from edge.records import Partition, Record
from edge.rejections import FIRST, MAX_KINDS, Rejections

RECORD = Record(Partition("in", 0), 7, 0, None, None, [])


def test_the_first_of_each_kind_are_logged_and_the_others_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections(interval_s=1000.0)
    for size in range(100):
        rejections.note(RECORD, BadRequestError(f"the value has {size:,} bytes"))
        rejections.note(RECORD, BadRequestError(f"the header {size!s:.9} is repeated"))
    assert len(caplog.messages) == 2 * FIRST
    assert caplog.messages[0] == "in-0 offset 7 goes to dead letters: the value has 0 bytes"
    rejections.tell(is_last=True)
    rejections.tell(is_last=True)
    assert caplog.messages[2 * FIRST :] == [
        "194 more records went to dead letters, which `python -m edge.deadletter list` prints"
    ]


def test_a_summary_waits_for_its_time_but_not_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections(interval_s=1000.0)
    for _ in range(FIRST + 2):
        rejections.note(RECORD, BadRequestError("no"))
    rejections.tell()
    assert len(caplog.messages) == FIRST
    rejections.tell(is_last=True)
    assert caplog.messages[-1] == "2 more records went to dead letters, which `python -m edge.deadletter list` prints"


def test_a_summary_that_is_due_is_told_and_the_next_one_waits_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("edge.tally.time.monotonic", lambda: now)
    rejections = Rejections(interval_s=10.0)
    for _ in range(40):
        rejections.note(RECORD, BadRequestError("no"))
        rejections.tell()
        now += 1.0
    sums = [int(message.split()[0]) for message in caplog.messages[FIRST:]]
    # From the third line on: one every ten seconds, of what came since.
    assert sums == [10, 10, 10]
    rejections.tell(is_last=True)
    assert caplog.messages[-1].startswith("7 more records")


def test_a_sender_who_makes_up_kinds_fills_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rejections = Rejections(interval_s=1000.0)
    for number in range(1, 1000):
        rejections.note(RECORD, BadRequestError("x" * number))
    assert len(caplog.messages) == MAX_KINDS + FIRST
