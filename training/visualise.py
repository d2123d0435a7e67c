"""What is drawn between epochs: functions of an `Evaluate` that give a figure, registered by name.

@visualisation("mean_image")
def mean_image(evaluation):
    figure = Figure()
    figure.subplots().imshow(evaluation.data.test.images.mean(axis=0).astype("uint8"))
    return figure
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from training import pictures
from training.evaluate import Evaluate

MOST_IMAGES = 12
"""More rows of activations would be too many to look at; with more classes some are left out."""

MOST_MAPS = 16

Visualisation = Callable[[Evaluate], Figure]

VISUALISATIONS: dict[str, Visualisation] = {}
"""What `callbacks.Visualise` draws."""


class NothingToDrawError(Exception):
    """This model, or what is known of it so far, has nothing that such a figure could show."""


def visualisation(name: str) -> Callable[[Visualisation], Visualisation]:
    """Register a function under `name`, which also names its files.

    It draws what the `Evaluate` of a model in training can tell, and raises NothingToDrawError where that is nothing.
    Raises: ValueError for a name that is taken.
    """

    def register(function: Visualisation) -> Visualisation:
        if name in VISUALISATIONS:
            raise ValueError(f"a visualisation named {name!r} is registered already")
        VISUALISATIONS[name] = function
        return function

    return register


visualisation("predictions")(Evaluate.plot_predictions)
visualisation("confusion")(Evaluate.plot_confusion_matrix)
visualisation("hardest")(Evaluate.plot_hardest)
visualisation("reliability")(Evaluate.plot_reliability)


@visualisation("per_class_accuracy")
def per_class_accuracy(evaluation: Evaluate) -> Figure:
    """Each class's accuracy over the epochs so far."""
    if not (evaluation.measurements or {}).get("per_class_accuracy"):
        raise NothingToDrawError("no accuracy of the classes has been measured yet")
    return evaluation.plot_per_class_accuracy_evolution()


@visualisation("filters")
def filters(evaluation: Evaluate) -> Figure:
    """The kernels of the model's first convolution."""
    layer = first_convolution(evaluation.model)
    return pictures.filters(np.asarray(layer.kernel), layer.name)


@visualisation("activations")
def activations(evaluation: Evaluate) -> Figure:
    """What the first convolution makes of the first test image of each class."""
    layer, test, names = first_convolution(evaluation.model), evaluation.data.test, evaluation.data.label_names
    classes, first = np.unique(test.labels, return_index=True)
    chosen = np.unique(np.linspace(0, len(classes) - 1, min(MOST_IMAGES, len(classes))).astype(np.int64))
    images = test.images[first[chosen]]
    maps = outputs_of(layer, evaluation.model, images)
    shown = maps[..., :MOST_MAPS]
    title = f"Activations of {layer.name}: {_some(shown.shape[-1], maps.shape[-1], 'maps')}"
    title += f", one image each of {_some(len(chosen), len(names), 'classes')}"
    return pictures.activations(images, shown, [names[c] for c in classes[chosen]], title)


def _some(shown: int, count: int, what: str) -> str:
    return f"all {count} {what}" if shown == count else f"{shown} of {count} {what}"


def first_convolution(model: Any) -> Any:
    """The first two-dimensional convolution among a model's layers and theirs, in the order they were made.

    Raises: NothingToDrawError for a model that has none.
    """
    found = next((layer for layer in _layers_in(model) if isinstance(layer, tf.keras.layers.Conv2D)), None)
    if found is None:
        raise NothingToDrawError("the model has no two-dimensional convolution")
    return found


def _layers_in(layer: Any) -> Iterator[Any]:
    # Keras has no public name for the layers of a layer that is no model, as the blocks of a residual network are, and
    # turns their order round where it is asked for those of all depths.
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield inner
        yield from _layers_in(inner)


def outputs_of(layer: Any, model: Any, images: Any) -> Any:
    """What `layer`, anywhere inside `model`, answers while that sees `images`: (N, height, width, maps), float32."""
    seen: list[Any] = []
    call = layer.call

    def recording(*arguments: Any, **options: Any) -> Any:
        seen.append(call(*arguments, **options))
        return seen[-1]

    layer.call = recording
    try:
        model(images, training=False)
    finally:
        del layer.call  # the class's own is there again
    return np.asarray(seen[0], np.float32)
