"""What a recipe becomes: learning rates, what decays, the loss, and the average of the weights."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from training import models, optimise
from training.optimise import Average
from training.recipes import Recipe


def rates(recipe: Recipe, steps_per_epoch: int, count: int) -> list[float]:
    schedule = optimise.schedule(recipe, steps_per_epoch)
    return [float(schedule(step)) for step in range(count)]


def test_cosine_after_a_warm_up_in_a_straight_line() -> None:
    found = rates(Recipe(learning_rate=0.4, schedule="cosine", warmup_epochs=0.5, epochs=3), 8, 24)
    line = [0.1, 0.175, 0.25, 0.325]
    cosine = [0.4 * 0.5 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    assert found == pytest.approx(line + cosine, rel=1e-5)


def test_cosine_without_warm_up_begins_at_the_top() -> None:
    found = rates(Recipe(learning_rate=0.4, schedule="cosine", epochs=2), 4, 9)
    assert found[0] == pytest.approx(0.4)
    assert found[4] == pytest.approx(0.2)
    assert found[8] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("warmup", [0, 1])
def test_constant_stays(warmup: int) -> None:
    assert rates(Recipe(learning_rate=0.3, warmup_epochs=warmup, epochs=3), 4, 12)[4:] == pytest.approx([0.3] * 8)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_kernels_decay_and_biases_and_normalisations_do_not(name: str) -> None:
    model = models.build_model("smallcnn", (8, 8, 1), 3)
    weights = model.trainable_variables
    for weight in weights:
        weight.assign(tf.ones_like(weight))
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    optimise.optimizer(recipe, model, 10).apply([tf.zeros_like(w) for w in weights], weights)
    for weight in weights:
        expected = 1 - 0.1 * 0.5 if len(weight.shape) > 1 else 1
        np.testing.assert_allclose(weight, np.full(weight.shape, expected), rtol=1e-6, err_msg=weight.path)
    assert {len(w.shape) > 1 for w in weights} == {True, False}


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_optimiser_is_the_named_one(name: str, kind: str) -> None:
    made = optimise.optimizer(Recipe(optimizer=name, learning_rate=0.25), models.build_model("lenet", (8, 8, 1), 2), 5)
    assert type(made).__name__ == kind
    assert float(made.learning_rate) == 0.25


def test_sgd_has_nesterovs_momentum() -> None:
    model = models.build_model("lenet", (8, 8, 1), 2)
    made = optimise.optimizer(Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.5), model, 5)
    weights = model.trainable_variables
    before = np.asarray(weights[0])
    for _ in range(2):
        made.apply([tf.ones_like(w) for w in weights], weights)
    # v1 = -0.1, step 0.5 * v1 - 0.1; v2 = 0.5 * v1 - 0.1, step 0.5 * v2 - 0.1
    np.testing.assert_allclose(np.asarray(weights[0]) - before, np.full(before.shape, -0.15 - 0.175), rtol=1e-4)


def test_loss_is_the_smoothed_cross_entropy() -> None:
    logits, labels = np.array([[2.0, 0.5, -1.0]], np.float32), np.array([[0, 1, 0]], np.float32)
    log_probabilities = logits - np.log(np.exp(logits).sum())
    for smoothing in (0.0, 0.3):
        target = labels * (1 - smoothing) + smoothing / 3
        expected = -(target * log_probabilities).sum()
        assert float(optimise.loss(Recipe(label_smoothing=smoothing))(labels, logits)) == pytest.approx(expected)


def test_average_follows_the_weights_and_is_what_is_judged() -> None:
    model = models.build_model("lenet", (8, 8, 1), 2)
    average = Average(0.3)
    average.set_model(model)
    bias, expected, share = model.logits.bias, 0.0, [2 / 11, 3 / 12, 0.3, 0.3]
    for step, keeps in enumerate(share, start=1):
        bias.assign([step, -step])
        average.on_train_batch_end(step)
        expected = keeps * expected + (1 - keeps) * step
        average.on_test_begin()
        np.testing.assert_allclose(bias, [expected, -expected], rtol=1e-6)
        average.on_test_begin()
        np.testing.assert_allclose(bias, [expected, -expected], rtol=1e-6)
        average.on_epoch_begin(step)
        np.testing.assert_array_equal(bias, [step, -step])


def test_average_takes_in_the_statistics_of_normalisations() -> None:
    model = models.build_model("smallcnn", (8, 8, 1), 2)
    average = Average(0.9)
    average.set_model(model)
    moving: Any = next(w for w in model.non_trainable_weights if "moving_mean" in w.path)
    moving.assign(tf.ones_like(moving))
    average.on_train_batch_end(0)
    average.on_test_begin()
    np.testing.assert_allclose(moving, np.full(moving.shape, 9 / 11), rtol=1e-6)
