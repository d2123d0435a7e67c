"""The form of the log: lines for people, or JSON that nothing in a message can break."""

import json
import logging
import sys
from typing import Any

import pytest

from edge.logs import JsonLines
from tests.paths import LENET
from tests.system.processes import run


def formatted(message: str, *args: object, **fields: object) -> dict[str, Any]:
    """What becomes of a line of the log; it has to be one line of ASCII."""
    record = logging.LogRecord("edge.some", logging.WARNING, __file__, 1, message, args, None)
    record.created = 1_764_183_600.25
    vars(record).update(fields)
    line = JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_line_has_time_level_logger_message_and_fields() -> None:
    assert formatted("batch of %d", 3, topic="in", partition=0, offset=17, id=None) == {
        "time": "2025-11-26T19:00:00.250Z",
        "level": "WARNING",
        "logger": "edge.some",
        "message": "batch of 3",
        "topic": "in",
        "partition": 0,
        "offset": 17,
    }


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "ä\u2028\x85", "\ud800", '"}', "a" * 100_000])
def test_whatever_a_message_holds_it_stays_one_line_and_comes_out_as_it_was(text: str) -> None:
    found = formatted("%s", text, id=text)
    assert (found["message"], found["id"]) == (text, text)


def test_an_exception_is_in_its_line() -> None:
    record = logging.LogRecord("edge", logging.ERROR, __file__, 1, "failed", (), None)
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    found = json.loads(JsonLines().format(record))
    assert found["message"] == "failed"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: why")


def test_all_that_an_app_says_on_stderr_is_json_up_to_why_it_ends() -> None:
    ended = run(
        "edge.classifier", "--model", str(LENET), "--bootstrap-servers", "127.0.0.1:1", "--broker-wait", "0.1",
        EDGE_LOG_JSON="1",
    )  # fmt: skip
    lines = [json.loads(line) for line in ended.errors]
    assert ended.process.returncode == 69
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "ERROR"]
    assert lines[0]["logger"] == "edge.classifier"
    assert lines[0]["message"].startswith("loaded lenet ")
    assert lines[-1]["exit_code"] == 69
    assert lines[-1]["message"].startswith("no Kafka broker at 127.0.0.1:1")


def test_a_usage_error_is_in_the_form_of_the_log_too() -> None:
    ended = run("edge.consumer", "--log-json", "--limit", "0")
    (line,) = [json.loads(line) for line in ended.errors]
    assert (ended.process.returncode, line["exit_code"], line["level"]) == (2, 2, "ERROR")
    assert "--limit" in line["message"]
    plain = run("edge.consumer", "--limit", "0")
    assert plain.errors[-1].startswith("Error: Invalid value for '--limit'")
