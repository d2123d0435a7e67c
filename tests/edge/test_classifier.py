"""Options of the classifier: the pinned file, another one, what is no SHA-256, an interval, threads."""

import hashlib

import pytest
from click.testing import CliRunner

from edge.classifier import main
from edge.model import load_model
from tests.paths import LENET
from tests.system.processes import run

PINNED = hashlib.sha256(LENET.read_bytes()).hexdigest()
OTHER = "ab" * 32


def test_another_file_than_the_pinned_one_ends_with_78_and_one_sentence() -> None:
    ended = run("edge.classifier", "--model", str(LENET), "--model-sha256", OTHER)
    assert ended.process.returncode == 78
    assert ended.errors == [f"Error: the model file {LENET} has SHA-256 {PINNED}; --model-sha256 asks for {OTHER}"]


@pytest.mark.parametrize(
    "value", ["", PINNED[:12], PINNED[:-1], f"{PINNED}0", f"sha256:{PINNED}", "g" * 64, f"{PINNED}\n"]
)
def test_what_is_no_sha256_is_a_usage_error(value: str) -> None:
    result = CliRunner().invoke(main, ["--model", str(LENET), "--model-sha256", value])
    assert result.exit_code == 2
    assert "64 hex digits are needed" in result.output


@pytest.mark.parametrize("value", ["", PINNED[:12]])
def test_a_variable_that_holds_none_is_a_usage_error(value: str) -> None:
    # click takes an empty variable for one that is not set: the file would go unpinned.
    result = CliRunner().invoke(main, ["--model", str(LENET)], env={"EDGE_MODEL_SHA256": value})
    assert result.exit_code == 2
    assert "64 hex digits are needed" in result.output


def test_a_transaction_cannot_be_asked_to_stay_open_for_longer_than_the_broker_keeps_it() -> None:
    options = ["--delivery", "exactly-once", "--instance-id", "a", "--commit-interval"]
    result = CliRunner().invoke(main, ["--model", str(LENET), *options, "5.1"])
    assert result.exit_code == 2
    assert "at most 5 s" in result.output


def test_an_inference_has_the_threads_that_were_asked_for_and_none_of_them_spins() -> None:
    options = load_model(LENET, threads=2)._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
