"""Batch normalisation in one kernel."""

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="training")
class BatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras's layer for maps (N, H, W, C), trained by the fused kernel that TensorFlow has for it.

    Keras 3 composes it of simple operations, each of which goes over the maps again. The moving variance is the
    unbiased one here, as in Ioffe and Szegedy: Batch normalization (ICML 2015), algorithm 2; Keras takes the biased.
    Whatever does not train, and so all that is exported, is Keras's own.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Maps as they came, normalised by their own mean and variance in training, and else by the moving ones."""
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + of_batch * (1 - self.momentum))
        return outputs
