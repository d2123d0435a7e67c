"""The notebook, executed as it stands: what it has found, and that git holds no outputs of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

NOTEBOOK = ROOT / "examples" / "fashion_mnist.ipynb"
CELL_TIMEOUT_S = 600
FOUND = """
print(json.dumps({
    "sent": REQUESTS, "predictions": len(predictions), "truths": sum(t is not None for t in truths.values()),
    "images": len(images), "same": set(images) == set(predictions), "accuracy": accuracy, "wrong": len(wrong),
    "latencies": len(latencies_ms), "p50": p50, "p99": p99, "epochs": history["epoch"], "asked": EPOCHS,
    "test_accuracy": history["test_accuracy"], "work": str(WORK), "classifier": classifier.returncode,
}))
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The executed notebook, with one more cell that prints what it has found."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is only in .venv-notebook: make test-notebook")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is only in .venv-notebook: make test-notebook")
    document = nbformat.read(NOTEBOOK, as_version=4)
    document.cells.append(nbformat.v4.new_code_cell(FOUND))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("notebook")))
        client = nbclient.NotebookClient(
            document, timeout=CELL_TIMEOUT_S, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
        )
        yield client.execute()


@pytest.fixture(scope="module")
def found(notebook: Any) -> dict[str, Any]:
    (output,) = notebook.cells[-1].outputs
    return dict(json.loads(output.text))


@pytest.mark.kafka
def test_every_request_was_answered(found: dict[str, Any]) -> None:
    assert found["sent"] == found["predictions"] == found["truths"] == found["images"] == found["latencies"]
    assert found["same"]
    assert found["classifier"] == 0


@pytest.mark.kafka
def test_the_model_is_good_enough(found: dict[str, Any]) -> None:
    assert found["accuracy"] > 0.8
    assert found["wrong"] == round((1 - found["accuracy"]) * found["sent"])
    assert found["epochs"] == list(range(1, found["asked"] + 1))
    # 500 of the 10,000 test images: two standard deviations are some 3 %.
    assert abs(found["accuracy"] - found["test_accuracy"][-1]) < 0.06


@pytest.mark.kafka
def test_the_latencies_are_possible(found: dict[str, Any]) -> None:
    assert 0 < found["p50"] <= found["p99"] < 60_000


@pytest.mark.kafka
def test_the_model_stays_where_the_notebook_says(found: dict[str, Any]) -> None:
    assert (Path(found["work"]) / "model.onnx").stat().st_size > 100_000


@pytest.mark.kafka
def test_each_plot_is_there(notebook: Any) -> None:
    plots = [cell for cell in notebook.cells if "plt.show()" in cell.source]
    assert len(plots) == 3
    for cell in plots:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source


def test_no_outputs_are_in_git() -> None:
    document = json.loads(NOTEBOOK.read_text())
    for cell in document["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert set(cell["metadata"]) == set()
