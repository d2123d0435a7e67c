"""The models, one class each, and the registry that `--architecture` chooses from.

Every model takes raw uint8 pixels (N, H, W, C), scales them itself, and returns logits (N, classes). A new one is a
class below and a line in `ARCHITECTURES`, or a class of the user's own, named as `package.module:Class`.
"""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training.errors import ConfigurationError
from training.normalise import BatchNormalization

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
            x = step(x)  # Keras hands `training` on to every layer inside this call
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
    return [convolution, BatchNormalization(momentum=0.9, name=f"norm{name}"), layers.ReLU(name=f"relu{name}")]


@tf.keras.utils.register_keras_serializable(package="training")
class ResNet20(Classifier):
    """ResNet-20 with 269,722 trained parameters on 32x32x3 and ten classes.

    He, Zhang, Ren and Sun: Deep residual learning for image recognition (CVPR 2016), section 4.2.
    Three stages of three blocks with 16, 32 and 64 maps; the first block of a later stage halves height and width.
    """

    def make_steps(self, image_shape: tuple[int, ...]) -> list[Any]:
        """A convolution, nine residual blocks, and the mean over the image."""
        steps = _convolution("1", _residual_convolution(16, 1, "conv1"))
        for stage, filters in enumerate((16, 32, 64), start=1):
            strides = (1 if stage == 1 else 2, 1, 1)
            steps += [
                Residual(filters, s, name=f"block{stage}{letter}") for letter, s in zip("abc", strides, strict=True)
            ]
        return [*steps, layers.GlobalAveragePooling2D(name="mean")]


@tf.keras.utils.register_keras_serializable(package="training")
class Residual(tf.keras.layers.Layer):
    """A basic block: two 3x3 convolutions, to whose result their input is added before the last ReLU.

    Where the shape changes, the shortcut is the paper's option A, as in its own ResNet-20: every second pixel, and
    zeros for the new maps. It has no parameters, and becomes a Slice and a Pad in ONNX.
    """

    def __init__(self, filters: int, stride: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.filters = filters
        self.stride = stride
        # TensorFlow's own padding of a strided convolution looks at other pixels than the shortcut keeps.
        before = [layers.ZeroPadding2D(1, name="pad")] if stride > 1 else []
        norms = [BatchNormalization(momentum=0.9, name=f"norm{n}") for n in (1, 2)]
        convolutions = [_residual_convolution(filters, s, f"conv{n}") for n, s in ((1, stride), (2, 1))]
        relu = layers.ReLU(name="relu1")
        self.steps = [*before, convolutions[0], norms[0], relu, convolutions[1], norms[1]]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for maps of `input_shape`, (None, H, W, C)."""
        shape = input_shape
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)
        self.built = True

    def call(self, maps: Any, training: bool = False) -> Any:
        """Maps (N, ceil(H / stride), ceil(W / stride), filters) for maps (N, H, W, C)."""
        x = maps
        for step in self.steps:
            x = step(x)
        new = self.filters - maps.shape[-1]
        kept = maps[:, :: self.stride, :: self.stride] if self.stride > 1 else maps
        return tf.nn.relu(x + (tf.pad(kept, [[0, 0], [0, 0], [0, 0], [new // 2, new - new // 2]]) if new else kept))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape that `call` returns."""
        batch, height, width, _ = input_shape
        return (batch, *(None if n is None else -(-n // self.stride) for n in (height, width)), self.filters)

    def get_config(self) -> dict[str, Any]:
        """What `.keras` files keep besides the weights."""
        return {**super().get_config(), "filters": self.filters, "stride": self.stride}


def _residual_convolution(filters: int, stride: int, name: str) -> Any:
    """As in the paper: without a bias, which the normalisation brings, and started for ReLUs (He et al., ICCV 2015)."""
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(filters, 3, stride, padding=padding, use_bias=False, kernel_initializer="he_normal", name=name)


ARCHITECTURES: dict[str, type[Classifier]] = {"lenet": LeNet, "smallcnn": SmallCNN, "resnet20": ResNet20}


def build_model(architecture: str, image_shape: tuple[int, int, int], classes: int) -> Any:
    """A new model with its weights created, ready for raw images of `image_shape`.

    Raises: ConfigurationError for a name that is not in `ARCHITECTURES`, and for a class that cannot serve as a model.
    """
    found = find_class(architecture)
    if architecture in ARCHITECTURES:
        model = found(classes, name=architecture)
        model.build((None, *image_shape))
        return model
    try:
        model = found(classes)
        if isinstance(model, Classifier):
            model.build((None, *image_shape))
        answer = model(np.zeros((2, *image_shape), np.uint8))
    except Exception as error:  # whatever the user's class raises
        raise ConfigurationError(
            f"{architecture} cannot be built as {found.__name__}({classes}) and called with uint8 images "
            f"(2, {', '.join(map(str, image_shape))}): {_reason(error)}"
        ) from error
    if getattr(answer, "shape", None) != (2, classes):
        raise ConfigurationError(
            f"{architecture} answers 2 images of {classes} classes with shape {getattr(answer, 'shape', None)}; "
            f"expected logits (2, {classes})"
        )
    return model


def find_class(architecture: str) -> Any:
    """The class of a registered name, or `package.module:Class` imported from the working directory or the environment.

    Keras can then load what was saved of it.
    Raises: ConfigurationError, saying what is unknown or what the class lacks.
    """
    if architecture in ARCHITECTURES:
        return ARCHITECTURES[architecture]
    module_name, _, class_name = architecture.partition(":")
    if not module_name or not class_name:
        raise ConfigurationError(
            f"unknown architecture {architecture!r}; known are {', '.join(ARCHITECTURES)}, and a class of your own as "
            "package.module:Class"
        )
    found = getattr(_import(module_name), class_name, None)
    lacks = _what_lacks(found)
    if lacks:
        raise ConfigurationError(f"{architecture} cannot be trained: {lacks}; extend training.models.Classifier")
    if tf.keras.utils.get_registered_name(found) == class_name:
        tf.keras.utils.register_keras_serializable(package=module_name)(found)
    return found


def _import(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        raise ConfigurationError(f"cannot import {module} from {here}: {_reason(error)}") from error


def _what_lacks(found: Any) -> str | None:
    if not inspect.isclass(found):
        return "there is no such class in its module"
    if not issubclass(found, tf.keras.Model):
        return "it does not extend tf.keras.Model"
    if not callable(getattr(found, "probabilities", None)):
        return "it lacks probabilities(images), which gives (N, classes) for raw uint8 images (N, H, W, C)"
    if getattr(found, "get_config", None) is tf.keras.Model.get_config:
        return "it lacks get_config(), by which Keras saves it, with classes among what it returns"
    return None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
