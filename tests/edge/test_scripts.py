"""The commands that `pip install` makes: they do what `python -m` does, under their own names, and complete."""

import os
import subprocess
import sys
import tomllib

import pytest

from tests.paths import LENET, ROOT

SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
APPS = [name.removeprefix("edge-") for name in SCRIPTS if (ROOT / "edge" / f"{name.removeprefix('edge-')}.py").exists()]


def start(name: str, *options: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as its entry point says."""
    module, _, function = SCRIPTS[name].partition(":")
    program = f"{before}\nfrom {module} import {function}\n{function}()"
    return subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def test_every_app_of_the_package_has_its_script() -> None:
    apps = {path.stem for path in (ROOT / "edge").glob("*.py") if 'if __name__ == "__main__":' in path.read_text()}
    assert apps - {"scripts"} == set(APPS)
    assert all(target == f"edge.scripts:{name.removeprefix('edge-')}" for name, target in SCRIPTS.items())


@pytest.mark.parametrize("app", APPS)
def test_a_script_says_its_own_name(app: str) -> None:
    said = start(f"edge-{app}", "--help")
    assert said.returncode == 0
    assert said.stdout.startswith(f"Usage: edge-{app} ")
    assert f"python -m edge.{app}" not in said.stdout


def test_a_script_ends_with_the_codes_of_its_module() -> None:
    refused = start("edge-classifier", "--model", "none.onnx")
    assert (refused.returncode, refused.stderr) == (78, f"Error: there is no model file {ROOT / 'none.onnx'}\n")
    assert start("edge-consumer", "--limit", "0").returncode == 2
    broken = start("edge-classifier", before="import edge.classifier\nedge.classifier.load_model = None")
    assert broken.returncode == 70
    assert "internal error: please report it with the lines below\nTraceback" in broken.stderr
    elsewhere = start("edge-query", before="import os, edge.query\nos.chdir('/')")
    assert elsewhere.returncode == 65
    assert elsewhere.stderr.startswith("Error: there is no file or folder /samples/fashion_mnist_test_200.npz: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edge-classifier --client ", ["plain,kafka-python", "plain,confluent"]),
        ("edge-classifier --deliv", ["plain,--delivery"]),
        ("edge-classifier --model ", ["file,"]),
        ("edge-classifier --tls-ca ", ["file,"]),
        ("edge-query --images ", ["file,"]),
        ("edge-counter pro", ["plain,produce"]),
        ("edge-deadletter list --print-config ", ["plain,text", "plain,json"]),
    ],
)
def test_options_choices_and_paths_complete(words: str, expected: list[str]) -> None:
    name = words.split(maxsplit=1)[0]
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    found = start(name, **{f"_{name.replace('-', '_').upper()}_COMPLETE": "bash_complete"}, **variables)
    assert found.stdout.splitlines() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_for_each_shell(shell: str) -> None:
    found = start("edge-classifier", "--model", str(LENET), _EDGE_CLASSIFIER_COMPLETE=f"{shell}_source")
    assert found.returncode == 0
    assert f"_EDGE_CLASSIFIER_COMPLETE={shell}_complete" in found.stdout
