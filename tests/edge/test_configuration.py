"""What --print-config says of every app: each value, where it came from, and no secret."""

import json
import secrets
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge import classifier, consumer, counter, deadletter, query

APPS: dict[str, tuple[click.Command, list[str]]] = {
    "query": (query.main, []),
    "classifier": (classifier.main, []),
    "consumer": (consumer.main, []),
    "counter produce": (counter.main, ["produce"]),
    "counter consume": (counter.main, ["consume"]),
    "deadletter list": (deadletter.main, ["list"]),
    "deadletter show": (deadletter.main, ["show", "0-17"]),
    "deadletter replay": (deadletter.main, ["replay"]),
}
NOWHERE = "127.0.0.1:1"
PASSWORD = secrets.token_hex(9)


def printed(app: str, *options: str, **environment: str) -> dict[str, dict[str, Any]]:
    """What an app says of each of its options and variables."""
    command, words = APPS[app]
    result = CliRunner().invoke(command, [*words, "--print-config=json", *options], env=environment)
    assert result.exit_code == 0, result.output
    settings = [json.loads(line) for line in result.stdout.splitlines()]
    return {setting["option"] or setting["variable"]: setting for setting in settings}


def test_an_option_beats_the_environment_which_beats_the_default() -> None:
    found = printed(
        "classifier", "--max-batch", "3", EDGE_MAX_BATCH="5", EDGE_THREADS="2", EDGE_GROUP="", EDGE_VERBOSE="2"
    )
    expected = {
        "--model": ("model.onnx", "default"),
        "--model-sha256": (None, "default"),
        "--max-batch": (3, "option"),
        "--max-dead-letter-bytes": (900_000, "default"),
    }
    assert {name: (found[name]["value"], found[name]["origin"]) for name in expected} == expected
    assert (found["--threads"]["value"], found["--threads"]["origin"]) == (2, "EDGE_THREADS")
    assert (found["--verbose"]["value"], found["--verbose"]["origin"]) == (2, "EDGE_VERBOSE")
    # A variable that is empty is one that is not set.
    assert (found["--group"]["value"], found["--group"]["origin"]) == ("edge.classifier", "default")


@pytest.mark.parametrize("app", APPS)
def test_every_option_of_every_app_is_printed_with_what_its_variable_gives(app: str) -> None:
    found = printed(app, EDGE_BOOTSTRAP_SERVERS=NOWHERE, EDGE_LOG_JSON="1")
    command, words = APPS[app]
    leaf = command.commands[words[0]] if isinstance(command, click.Group) else command
    options = {option for each in leaf.params if isinstance(each, click.Option) for option in each.opts}
    shown = {name for name in found if name.startswith("--")}
    assert shown == {option for option in options if option.startswith("--")} - {"--print-config"}
    assert (found["--bootstrap-servers"]["value"], found["--bootstrap-servers"]["origin"]) == (
        NOWHERE,
        "EDGE_BOOTSTRAP_SERVERS",
    )
    assert (found["--log-json"]["value"], found["--log-json"]["origin"]) == (True, "EDGE_LOG_JSON")
    for setting in found.values():
        assert setting["origin"] in ("option", "argument", "default", "unused", setting["variable"])


def test_text_is_a_line_for_each_value() -> None:
    result = CliRunner().invoke(query.main, ["--print-config", "--shuffle", "--device", "a\x1b[2J"])
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[0][0] == "--images"
    assert lines[0][1].split() == ["samples/fashion_mnist_test_200.npz", "default"]
    values = {name: rest.split("  ")[0] for name, rest in lines}
    assert (values["--shuffle"], values["--limit"], values["--device"]) == (
        "yes",
        "not set",
        "a\N{REPLACEMENT CHARACTER}[2J",
    )


def test_secrets_are_masked_whether_the_command_knows_them_or_not(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    environment = {"EDGE_TLS_KEY_PASSWORD": PASSWORD, "EDGE_SASL_PASWORD": PASSWORD, "EDGE_DEVICE": "camera"}
    for form in ("text", "json"):
        options = [f"--print-config={form}", "--sasl-password-file", str(file)]
        result = CliRunner().invoke(consumer.main, options, env=environment)
        assert result.exit_code == 0
        assert PASSWORD not in result.output
        assert str(file) in result.output
    found = printed("consumer", **environment)
    assert found["EDGE_TLS_KEY_PASSWORD"]["value"] == "***"
    assert found["EDGE_TLS_KEY_PASSWORD"]["origin"] == "EDGE_TLS_KEY_PASSWORD"
    assert (found["EDGE_SASL_PASSWORD"]["value"], found["EDGE_SASL_PASSWORD"]["origin"]) == (None, "default")
    # One that is misspelt, and one for another app.
    assert [found[name]["origin"] for name in ("EDGE_SASL_PASWORD", "EDGE_DEVICE")] == ["unused", "unused"]


def test_a_value_that_is_wrong_is_named_with_its_variable() -> None:
    result = CliRunner().invoke(classifier.main, ["--print-config"], env={"EDGE_MAX_BATCH": "many"})
    assert result.exit_code == 2
    assert "EDGE_MAX_BATCH" in result.output


@pytest.mark.parametrize("app", APPS)
def test_help_gives_an_example_and_names_the_variables(app: str) -> None:
    command, words = APPS[app]
    result = CliRunner().invoke(command, [*words[:1], "--help"])
    text = " ".join(result.output.split())
    assert f"Example: python -m edge.{app.split(maxsplit=1)[0]} " in text
    for variable in ("EDGE_BOOTSTRAP_SERVERS", "EDGE_LOG_JSON", "EDGE_VERBOSE", "EDGE_SASL_PASSWORD_FILE"):
        assert variable in text


def test_only_what_says_how_often_one_run_does_something_has_no_variable_in_the_query_app() -> None:
    found = printed("query")
    assert [name for name, setting in found.items() if setting["variable"] is None] == ["--limit"]
