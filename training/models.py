"""The models, one class each, and the registry that `--architecture` chooses from.

Every model takes raw uint8 pixels (N, H, W, C), scales them itself, and returns logits (N, classes).
"""

from typing import Any

import tensorflow as tf

from training.errors import ConfigurationError

layers = tf.keras.layers


class Classifier(tf.keras.Model):
    """What all models share: the number of classes, and a first layer that turns bytes into numbers from 0 to 1."""

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.scale = layers.Rescaling(1 / 255, name="scale")
        self.steps: list[Any] = []

    def call(self, images: Any, training: bool = False) -> Any:
        """Logits (N, classes), float32, for images (N, H, W, C) of raw pixels."""
        x = self.scale(images)
        for step in self.steps:
            x = step(x, training=training) if isinstance(step, layers.Dropout | layers.BatchNormalization) else step(x)
        return self.logits(x)

    def probabilities(self, images: Any) -> Any:
        """Probabilities (N, classes), float32, as the exported graph gives them."""
        return tf.nn.softmax(self(images, training=False))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for images of `input_shape`, (None, H, W, C)."""
        self.steps = self.make_steps(tuple(int(n) for n in input_shape[1:] if n is not None))
        # Logits stay float32 under mixed precision: a softmax in half precision loses the tail.
        self.logits = layers.Dense(self.classes, dtype="float32", name="logits")
        shape = input_shape
        for step in (*self.steps, self.logits):
            step.build(shape)
            shape = step.compute_output_shape(shape)
        self.built = True

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        """The layers between scaling and logits, in order."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """What `.keras` files keep besides the weights."""
        return {**super().get_config(), "classes": self.classes}


@tf.keras.utils.register_keras_serializable(package="training")
class LeNet(Classifier):
    """LeNet-5 with 61,706 parameters on 28x28x1 and ten classes.

    LeCun, Bottou, Bengio and Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 86 (1998).
    As usual today: every map of the second convolution sees all maps, ReLU for tanh, max for trained average pooling,
    a softmax for the RBF output. The paper's 32x32 frame around a 28x28 image is the first convolution's padding.
    """

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        """Two convolutions with pooling, two dense layers."""
        # Below 12 pixels nothing would be left of a 5x5 window without padding.
        padding = "valid" if min(image_shape[:2]) >= 12 else "same"
        return [
            layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(padding="same", name="pool1"),
            layers.Conv2D(16, 5, padding=padding, activation="relu", name="conv2"),
            layers.MaxPooling2D(padding="same", name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(120, activation="relu", name="dense1"),
            layers.Dense(84, activation="relu", name="dense2"),
        ]


@tf.keras.utils.register_keras_serializable(package="training")
class SmallCNN(Classifier):
    """A small all-convolutional network, 76,138 parameters on 28x28x1 and ten classes.

    3x3 convolutions after Simonyan and Zisserman: Very deep convolutional networks (ICLR 2015); batch normalisation
    after Ioffe and Szegedy (ICML 2015); global average pooling after Lin, Chen and Yan: Network in network (ICLR 2014).
    """

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        """Two blocks of two convolutions, then a separable one, pooled over the whole image."""
        return [
            *_convolution("1a", layers.Conv2D(32, 3, padding="same", use_bias=False, name="conv1a")),
            *_convolution("1b", layers.Conv2D(32, 3, padding="same", use_bias=False, name="conv1b")),
            layers.MaxPooling2D(padding="same", name="pool1"),
            *_convolution("2a", layers.Conv2D(64, 3, padding="same", use_bias=False, name="conv2a")),
            *_convolution("2b", layers.Conv2D(64, 3, padding="same", use_bias=False, name="conv2b")),
            layers.MaxPooling2D(padding="same", name="pool2"),
            *_convolution("3", layers.SeparableConv2D(128, 3, padding="same", use_bias=False, name="conv3")),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dropout(0.2, name="dropout"),
        ]


def _convolution(name: str, convolution: Any) -> list[Any]:
    return [convolution, layers.BatchNormalization(momentum=0.9, name=f"norm{name}"), layers.ReLU(name=f"relu{name}")]


ARCHITECTURES: dict[str, type[Classifier]] = {"lenet": LeNet, "smallcnn": SmallCNN}


def build_model(architecture: str, image_shape: tuple[int, int, int], classes: int) -> Classifier:
    """A new model with its weights created, ready for raw images of `image_shape`.

    Raises: ConfigurationError for a name that is not in `ARCHITECTURES`.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigurationError(f"unknown architecture {architecture!r}; known are {', '.join(ARCHITECTURES)}")
    model = ARCHITECTURES[architecture](classes, name=architecture)
    model.build((None, *image_shape))
    return model
