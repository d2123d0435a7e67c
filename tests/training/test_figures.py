"""The figures show the numbers they were given, and stay readable for any number of classes and any labels."""

from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training import figures, pictures
from training.calibration import reliability

NAMES = ("cat", "dog", "owl", "eel")
LONG = "a rather long name, as museums give them, number"


def test_per_class_plot_shows_the_numbers() -> None:
    accuracies = {"cat": 2 / 3, "dog": 0.5, "owl": 1.0, "eel": None}
    axes: Any = figures.per_class_accuracy(accuracies, 4 / 6).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([2 / 3, 0.5, 1, 0])
    assert [t.get_text() for t in axes.get_yticklabels()] == list(NAMES)
    assert [t.get_text() for t in axes.texts] == ["66.7%", "50.0%", "100.0%", "no images"]
    assert axes.lines[0].get_xdata() == pytest.approx([4 / 6, 4 / 6])


def test_per_class_plot_of_many_classes_has_columns() -> None:
    accuracies: dict[str, float | None] = {str(i): i / 100 for i in range(100)}
    figure = figures.per_class_accuracy(accuracies, 0.5)
    columns: list[Any] = figure.axes
    assert [len(axes.patches) for axes in columns] == [34, 34, 32]
    labels = [t.get_text() for axes in columns for t in axes.get_yticklabels()]
    assert labels == list(accuracies)
    assert [bar.get_width() for axes in columns for bar in axes.patches] == pytest.approx(list(accuracies.values()))
    assert len({axes.get_ylim() for axes in columns}) == 1


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_plots_of_very_many_classes_show_the_worst(count: int) -> None:
    accuracies = [None, *np.random.default_rng(0).permutation(np.linspace(0, 1, count - 1)).tolist()]
    worst = sorted(value for value in accuracies if value is not None)[: figures.MOST_CLASSES]
    figure = figures.per_class_accuracy({str(i): value for i, value in enumerate(accuracies)}, 0.5)
    columns: list[Any] = figure.axes
    assert [bar.get_width() for axes in columns for bar in axes.patches] == pytest.approx(worst)
    labels = [t.get_text() for axes in columns for t in axes.get_yticklabels()]
    assert [accuracies[int(label)] for label in labels] == pytest.approx(worst)
    evolution = figures.per_class_evolution([1, 2], [[0.5] * count, accuracies], [str(i) for i in range(count)])
    rows: Any = evolution.axes[0]
    assert rows.images[0].get_array()[:, 1].tolist() == pytest.approx(worst)
    assert [t.get_text() for t in rows.get_yticklabels()] == labels
    for title in (figure.get_suptitle(), rows.get_title()):
        assert title.endswith(f"\nthe 120 worst of {count:,} classes")
    for drawn_one in (figure, evolution):
        canvas: Any = FigureCanvasAgg(drawn_one)
        canvas.draw()


def test_confusion_plot_shows_counts_and_shares() -> None:
    matrix = np.array([[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    axes: Any = figures.confusion(matrix, NAMES).axes[0]
    assert [int(t.get_text()) for t in axes.texts] == [2, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(axes.images[0].get_array()[0], [2 / 3, 1 / 3, 0, 0])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_confusion_plot_of_many_classes_leaves_the_numbers_out() -> None:
    axes = figures.confusion(np.eye(100, dtype=np.int64), [str(i) for i in range(100)]).axes[0]
    assert len(axes.texts) == 0
    assert len(axes.get_xticks()) == 34


def test_evolution_plot() -> None:
    history = {"accuracy": [0.5, 0.7, 0.9], "val_accuracy": [0.5, 0.8, 0.6], "test_accuracy": [0.4, 0.5, 0.9]}
    axes: Any = figures.accuracy_evolution(history).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["train"] == history["accuracy"]
    assert drawn["test"] == history["test_accuracy"]
    assert "best on validation: epoch 2" in drawn
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")


def test_per_class_evolution_has_a_row_a_class_and_a_column_a_measurement() -> None:
    accuracies = [[0.5, 0.25, None], [0.75, 0.5, None]]
    axes: Any = figures.per_class_evolution([5, 10], accuracies, NAMES[:3]).axes[0]
    shown = axes.images[0].get_array()
    assert shown[:2].tolist() == [[0.5, 0.75], [0.25, 0.5]]
    assert shown.mask.tolist() == [[False, False], [False, False], [True, True]]
    assert [t.get_text() for t in axes.texts] == ["50.0", "75.0", "25.0", "50.0"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["5", "10"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "owl"]


def test_per_class_evolution_of_much_has_no_numbers_but_every_label() -> None:
    accuracies = np.random.default_rng(0).random((90, 100)).tolist()
    axes: Any = figures.per_class_evolution(range(1, 91), accuracies, [str(i) for i in range(100)]).axes[0]
    assert not axes.texts
    assert len(axes.get_yticklabels()) == 100
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(e) for e in range(1, 91, 5)]


def test_reliability_plot_shows_accuracy_confidence_and_counts() -> None:
    sure = np.array([[c, 1 - c] for c in (0.95, 0.95, 0.65, 0.65)], np.float32)
    diagram = reliability(sure, np.array([0, 1, 0, 0]))
    figure = figures.reliability({"one": diagram, "two": diagram})
    assert len(figure.axes) == 4
    for upper, title in zip(figure.axes[:2], ("one", "two"), strict=True):
        axes: Any = upper
        assert axes.get_title() == f"{title}\nexpected calibration error 40.00%"
        assert [bar.get_height() for bar in axes.patches] == [1, 0.5]
        assert [bar.get_x() for bar in axes.patches] == pytest.approx([9 / 15, 14 / 15])
        segments = axes.collections[0].get_segments()
        assert [s[0][1] for s in segments] == pytest.approx([0.65, 0.95])
    lower: Any = figure.axes[2]
    assert [bar.get_height() for bar in lower.patches] == [0] * 9 + [2, 0, 0, 0, 0, 2]
    assert lower.get_xlabel() == "confidence"


def test_predictions_plot_marks_what_is_wrong() -> None:
    images = np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3)
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]], np.float32)
    figure = pictures.predictions(images, np.zeros(2, np.int64), probabilities, NAMES, "Some", ["first", "second"])
    axes: list[Any] = figure.axes
    assert [a.get_title() for a in axes] == ["cat 70%\n✓", "dog 70%\n✗ true: cat"]
    assert [a.title.get_color() for a in axes] == [figures.BLUE, figures.ORANGE]
    assert [a.texts[0].get_text() for a in axes] == ["first", "second"]
    assert figure.get_suptitle() == "Some"


@pytest.mark.parametrize(("channels", "maps"), [(1, 6), (3, 20), (5, 1)])
def test_filters_plot(channels: int, maps: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, channels, maps)).astype(np.float32)
    axes: Any = pictures.filters(kernel, "conv1").axes
    drawn = [a.images[0].get_array() for a in axes if a.images]
    np.testing.assert_allclose(drawn[0], kernel[..., 0].mean(axis=2), rtol=1e-6)
    assert len([a for a in axes if a.get_title().isdigit()]) == maps


@pytest.mark.parametrize(("low", "colours", "limits"), [(-2.0, "PuOr", (-3, 3)), (0.0, "cividis", (0, 3))])
def test_activations_plot_has_an_image_and_its_maps_in_each_row(
    low: float, colours: str, limits: tuple[float, float]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    maps = np.linspace(low, 3, 2 * 4 * 4 * 2, dtype=np.float32).reshape(2, 4, 4, 2)
    axes: list[Any] = pictures.activations(images, maps, NAMES[:2], "Some").axes
    assert [axes[i].texts[0].get_text() for i in (0, 3)] == ["cat", "dog"]
    for row in range(2):
        image, *others = (a.images[0] for a in axes[3 * row : 3 * row + 3])
        np.testing.assert_array_equal(image.get_array(), images[row])
        for number, drawn in enumerate(others):
            np.testing.assert_array_equal(drawn.get_array(), maps[row, ..., number])
            assert drawn.get_cmap().name == colours
            assert drawn.get_clim() == limits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("x" * 24, "x" * 24),
        ("beginning of something 17", "beginning of…omething 17"),
        ("two\nlines ", "two lines"),
        ("$5 to $10", r"\$5 to \$10"),
    ],
)
def test_label_is_one_short_line(name: str, expected: str) -> None:
    assert figures.short(name) == expected


def drawn(count: int) -> list[Figure]:
    """Every figure of `count` classes with labels that are long, or strange."""
    names = [f"{LONG} {i}" if i else "$a$ and $" for i in range(count)]
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (30, 8, 8, 1), dtype=np.uint8), np.arange(30) % count
    probabilities = random.dirichlet(np.ones(count), 30).astype(np.float32)
    return [
        figures.per_class_accuracy(dict.fromkeys(names, 0.5), 0.5),
        figures.per_class_evolution([1, 2], [[0.5] * count] * 2, names),
        figures.confusion(np.eye(count, dtype=np.int64), names),
        pictures.predictions(images[:24], labels[:24], probabilities[:24], names, notes=["image 1, loss 2"] * 24),
        pictures.predictions(images[:24], labels[:24], probabilities[:24], names),
        pictures.activations(images[:2], random.random((2, 4, 4, 6), dtype=np.float32), names[:2], "Some"),
    ]


@pytest.mark.parametrize("count", [2, 10, 100, 300])
def test_no_text_leaves_its_figure_or_covers_another(count: int) -> None:
    for figure in drawn(count):
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        texts = [t for axes in figure.axes for t in (axes.title, *axes.texts) if t.get_text()]
        boxes = [t.get_window_extent(canvas.get_renderer()) for t in texts]
        assert len(boxes) >= 1
        for box, text in zip(boxes, texts, strict=True):
            assert box.x0 >= 0, text
            assert box.x1 <= figure.bbox.x1, text
        assert not [texts[i] for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
