"""What a recipe means to Keras: the optimiser with its schedule, the loss, and the average of the weights."""

from typing import Any

import tensorflow as tf

from training.recipes import Recipe


def schedule(recipe: Recipe, steps_per_epoch: int) -> Any:
    """The learning rate of each step: a straight line up to the recipe's, then its cosine to zero, or constant."""
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    return tf.keras.optimizers.schedules.CosineDecay(
        # The first step counts, too: it takes the line's first part, not zero.
        recipe.learning_rate / warmup if warmup else recipe.learning_rate,
        decay_steps=max(1, recipe.epochs * steps_per_epoch - warmup),
        alpha=1.0 if recipe.schedule == "constant" else 0.0,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def optimizer(recipe: Recipe, model: Any, steps_per_epoch: int) -> Any:
    """The recipe's optimiser for `model`, whose weights are there; biases and normalisations do not decay."""
    rate, decay = schedule(recipe, steps_per_epoch), recipe.weight_decay or None
    match recipe.optimizer:
        case "sgd":
            made = tf.keras.optimizers.SGD(rate, recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay)
        case "adamw":
            made = tf.keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
        case _:
            made = tf.keras.optimizers.Adam(rate)
    if decay:
        made.exclude_from_weight_decay([w for w in model.trainable_variables if len(w.shape) < 2])
    return made


def loss(recipe: Recipe) -> Any:
    """Cross entropy of logits and one-hot labels (N, classes), smoothed as the recipe says.

    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna: Rethinking the Inception architecture (CVPR 2016), section 7.
    """
    return tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)


class Average(tf.keras.callbacks.Callback):
    """Keeps an average of the weights, with which each epoch is judged and saved, and the training ends.

    Polyak and Juditsky: Acceleration of stochastic approximation by averaging (SIAM J. Control Optim. 30, 1992),
    as an exponential average that begins short: after t steps it keeps min(share, (1 + t) / (10 + t)) of itself.
    The statistics of batch normalisation are averaged, too, since they belong to the weights they were taken with.
    The model carries the average from the validation of an epoch to the beginning of the next.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.is_in_model = False
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.average: list[Any] = []

    def set_model(self, model: Any) -> None:
        """Begin with the model's weights as they are."""
        super().set_model(model)
        self.weights = [w for w in model.weights if w.dtype.startswith("float")]
        self.average = [tf.Variable(w.value, trainable=False) for w in self.weights]
        self._update, self._swap = tf.function(self._update_eagerly), tf.function(self._swap_eagerly)

    @property
    def variables(self) -> list[Any]:
        """What has to be kept to go on later: the count of steps, and the average."""
        return [self.steps, *self.average]

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the step's weights in."""
        self._update()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Judge the average."""
        self.exchange(True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Go on with the weights themselves."""
        self.exchange(False)

    def exchange(self, average_in_model: bool) -> None:
        """Let the model carry the average, or the weights themselves; the other is kept."""
        if self.is_in_model != average_in_model:
            self._swap()
            self.is_in_model = average_in_model

    def _update_eagerly(self) -> None:
        steps = tf.cast(self.steps.assign_add(1), tf.float32)
        share = tf.minimum(self.share, (1 + steps) / (10 + steps))
        for average, weight in zip(self.average, self.weights, strict=True):
            average.assign(average * tf.cast(share, average.dtype) + weight.value * tf.cast(1 - share, average.dtype))

    def _swap_eagerly(self) -> None:
        for average, weight in zip(self.average, self.weights, strict=True):
            before = tf.identity(weight.value)
            weight.assign(average)
            average.assign(before)
