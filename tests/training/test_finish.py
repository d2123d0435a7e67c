"""What a finished run holds: a calibrated graph, numbers and figures that are all that graph's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from training import calibration, evaluate, figures, finish, models, runs, serving
from training.dataset import Dataset, Split, checked_dataset
from training.runs import Run
from training.train import Parts

COUNT, SHAPE, CLASSES = 400, (12, 10, 3), 4
TOO_SURE = 3.0


@dataclass(frozen=True)
class Made:
    """A run whose last step is done, or still to be done."""

    run: Run
    dataset: Dataset
    parts: Parts
    logits: npt.NDArray[np.float32]  # of the test images


def sampled(logits: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.int64]:
    """Labels drawn from softmax(logits / TOO_SURE): the model's confidence is too great by that temperature."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / TOO_SURE)
    chances = (powers / powers.sum(axis=1, keepdims=True)).cumsum(axis=1)
    return np.asarray(np.argmax(chances > np.random.default_rng(seed).random((len(logits), 1)), axis=1))


def unfinished(root: Path) -> Made:
    """A run of an untrained LeNet that is right about as often as its own confidence divided by a temperature says."""
    tf.keras.utils.set_random_seed(1)
    model = models.build_model("lenet", SHAPE, CLASSES)
    model.logits.kernel.assign(model.logits.kernel * 60)
    random = np.random.default_rng(2)
    images = [random.integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8) for _ in range(2)]
    known = [np.asarray(model(part)) for part in images]
    train, test = (Split(images[i], sampled(known[i], i)) for i in range(2))
    dataset = checked_dataset("sampled", train, test, ["a", "b", "c", "d"])
    run = runs.create(root, "lenet", "sampled")
    runs.write_json(run.config, runs.describe("lenet", {"seed": 0}, dataset))
    runs.write_json(run.history, {"epoch": [1], "accuracy": [0.5], "val_accuracy": [0.5], "test_accuracy": [0.5]})
    model.save(run.best_model)
    return Made(run, dataset, Parts(np.arange(100), np.arange(100, COUNT)), known[1])


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Made:
    made = unfinished(tmp_path_factory.mktemp("calibrated"))
    finish.finish(made.run, made.dataset, made.parts, 1)
    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same without calibration."""
    made = unfinished(tmp_path_factory.mktemp("plain"))
    finish.finish(made.run, made.dataset, made.parts, 1, calibrate=False)
    return made


def softmax(logits: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    powers = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def recorded(made: Made) -> npt.NDArray[np.float32]:
    with np.load(made.run.predictions("test")) as file:
        return np.asarray(file["probabilities"])


def test_temperature_is_that_of_the_validation_images_alone(calibrated: Made) -> None:
    document = runs.read_json(calibrated.run.metrics)["calibration"]
    validation = calibrated.dataset.train.take(calibrated.parts.validation)
    logits = np.asarray(finish.load_model(calibrated.run)(validation.images))
    expected = calibration.fit_temperature(logits, validation.labels)
    assert document["temperature"] == pytest.approx(expected.value, rel=1e-4)
    assert document["temperature"] == pytest.approx(TOO_SURE, rel=0.2)
    assert document["reason"] == "fitted on 300 validation images"
    loss = document["validation_loss"]
    assert (loss["before"], loss["after"]) == pytest.approx((expected.loss_before, expected.loss_after), rel=1e-4)


def test_exported_graph_divides_by_it(calibrated: Made) -> None:
    temperature = runs.read_json(calibrated.run.metrics)["calibration"]["temperature"]
    answer = np.asarray(serving.Served(calibrated.run.saved_model).probabilities(calibrated.dataset.test.images))
    np.testing.assert_allclose(answer, softmax(calibrated.logits, temperature), atol=1e-5)
    np.testing.assert_allclose(recorded(calibrated), answer, atol=1e-6)
    assert np.abs(answer - softmax(calibrated.logits, 1)).max() > 0.1


def test_without_calibration_the_graph_is_the_model(plain: Made) -> None:
    document = runs.read_json(plain.run.metrics)["calibration"]
    assert (document["temperature"], document["reason"]) == (1, "calibration was switched off")
    assert document["ece"]["before"] == document["ece"]["after"]
    np.testing.assert_allclose(recorded(plain), softmax(plain.logits, 1), atol=1e-5)


def test_calibration_changes_how_sure_and_not_what(calibrated: Made, plain: Made) -> None:
    np.testing.assert_array_equal(np.argmax(recorded(calibrated), axis=1), np.argmax(recorded(plain), axis=1))
    with_it, without = (runs.read_json(made.run.metrics) for made in (calibrated, plain))
    for key in ("train_accuracy", "validation_accuracy", "test_accuracy", "per_class_accuracy", "confusion_matrix"):
        assert with_it[key] == without[key]
    ece = with_it["calibration"]["ece"]
    assert ece["before"] == pytest.approx(without["calibration"]["ece"]["after"], abs=1e-4)
    assert ece["before"] > 0.2
    assert ece["after"] < 0.1


def test_everything_written_is_of_the_exported_graph(calibrated: Made) -> None:
    metrics, reference = runs.read_json(calibrated.run.metrics), runs.read_json(calibrated.run.reference)
    probabilities, labels = recorded(calibrated), calibrated.dataset.test.labels
    diagram = calibration.reliability(probabilities, labels)
    assert metrics["calibration"]["ece"]["after"] == pytest.approx(diagram.ece)
    assert metrics["calibration"]["bins"]["after"] == diagram.to_list()
    assert reference["confidence"]["mean"] == pytest.approx(probabilities.max(axis=1).mean())
    assert reference["golden"][0]["probabilities"] in probabilities.astype(np.float64).tolist()


def test_saved_run_is_evaluated_as_it_was_exported(calibrated: Made) -> None:
    evaluation = finish.evaluate_saved(calibrated.run)
    np.testing.assert_allclose(evaluation.predict(), recorded(calibrated), rtol=1e-4, atol=1e-6)
    ece = runs.read_json(calibrated.run.metrics)["calibration"]["ece"]["after"]
    assert evaluation.get_reliability().ece == pytest.approx(ece, abs=1e-4)


def test_run_from_before_calibration_is_evaluated_as_its_model_answers(plain: Made) -> None:
    metrics = runs.read_json(plain.run.metrics)
    runs.write_json(plain.run.metrics, {k: v for k, v in metrics.items() if k != "calibration"})
    np.testing.assert_allclose(finish.evaluate_saved(plain.run).predict(), recorded(plain), rtol=1e-4, atol=1e-6)
    runs.write_json(plain.run.metrics, metrics)


def test_tiny_validation_split_leaves_the_model_as_trained(trained: Run, bands: Dataset) -> None:
    document = runs.read_json(trained.metrics)["calibration"]
    assert document["temperature"] == 1
    assert document["reason"] == "30 validation images are too few; at least 100 are needed"
    with np.load(trained.predictions("test")) as file:
        np.testing.assert_allclose(
            evaluate.predict(finish.load_model(trained), bands.test.images),
            file["probabilities"],
            rtol=1e-5,
            atol=1e-6,
        )


def test_reliability_is_drawn_before_and_after_where_they_differ(
    calibrated: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[list[str]] = []
    original = figures.reliability

    def reliability(diagrams: dict[str, calibration.Reliability]) -> Figure:
        drawn.append(list(diagrams))
        return original(diagrams)

    monkeypatch.setattr(figures, "reliability", reliability)
    (tmp_path / "figures").mkdir()
    diagram = calibration.reliability(recorded(calibrated), calibrated.dataset.test.labels)
    for value in (2.345, 1.0):
        finish.draw_reliability(Run(tmp_path), calibration.Temperature(value, "", 0, 0), diagram, diagram)
    assert drawn == [["temperature 1 (as trained)", "temperature 2.35"], ["temperature 1"]]


def test_figures_of_a_finished_run(calibrated: Made) -> None:
    names = sorted(path.name for path in calibrated.run.figures.iterdir())
    assert names == [
        "accuracy_evolution.png",
        "confusion_matrix.png",
        "hardest.png",
        "per_class_accuracy.png",
        "predictions.png",
        "reliability.png",
    ]


def test_hardest_images_are_listed_as_the_graph_sees_them(calibrated: Made) -> None:
    listed = runs.read_json(calibrated.run.hardest)
    probabilities, labels = recorded(calibrated), calibrated.dataset.test.labels
    true = probabilities[np.arange(COUNT), labels]
    assert listed["split"] == "test"
    assert len(listed["hardest"]) == 24
    assert [item["index"] for item in listed["hardest"]] == np.argsort(true, kind="stable")[:24].tolist()
    for item in listed["hardest"]:
        row = probabilities[item["index"]]
        assert (item["label"], item["predicted"]) == (labels[item["index"]], np.argmax(row))
        assert item["probability"] == pytest.approx(row.max())
        assert item["loss"] == pytest.approx(-np.log(row[item["label"]]))


def test_classes_over_time_are_drawn_where_they_were_measured(trained: Run, calibrated: Made) -> None:
    name = "per_class_accuracy_evolution.png"
    assert (trained.figures / name).is_file()
    assert not (calibrated.run.figures / name).exists()
