"""Recipes: how a model is trained, as data. One TOML file each, in `training/recipes/` or anywhere else."""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.errors import ConfigurationError

FOLDER = Path(__file__).parent / "recipes"
DEFAULT = "default"


@dataclass(frozen=True)
class Limits:
    """The numbers that a value may be."""

    lowest: float
    highest: float = float("inf")
    without_lowest: bool = False
    without_highest: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.lowest if self.without_lowest else value >= self.lowest
        return above and (value < self.highest if self.without_highest else value <= self.highest)

    def __str__(self) -> str:
        low = f"{'above' if self.without_lowest else 'at least'} {self.lowest:g}"
        high = f"{'below' if self.without_highest else 'at most'} {self.highest:g}"
        return low if self.highest == float("inf") else f"{low} and {high}"


def _number(default: float, lowest: float, highest: float = float("inf"), **limits: bool) -> Any:
    return field(default=default, metadata={"limits": Limits(lowest, highest, **limits)})


def _one_of(*names: str) -> Any:
    return field(default=names[0], metadata={"names": names})


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; what a file leaves out is as here, where everything optional is off.

    `learning_rate` is the highest, reached after `warmup_epochs` (fractions allowed), from where `schedule` goes on:
    `cosine` to zero at the end (Loshchilov and Hutter: SGDR, ICLR 2017), or `constant`. `momentum`, Nesterov's, is
    only for `sgd`. `weight_decay` shrinks each weight by that share of itself times the learning rate in each step
    (Loshchilov and Hutter: Decoupled weight decay regularization, ICLR 2019), but no bias and nothing of a
    normalisation; with momentum m, an L2 penalty of x equals about x / (1 - m) here. `ema` is the share that the
    average of the weights keeps in a step; 0 takes the weights themselves. `shift` is in pixels, `flip` mirrors half
    of the images left to right, and `erasing` is the share of images with a rectangle of noise.

    Raises: ConfigurationError, naming the key, for a value of another type or out of its limits.
    """

    optimizer: str = _one_of("adam", "adamw", "sgd")
    learning_rate: float = _number(2e-3, 0, without_lowest=True)
    momentum: float = _number(0.9, 0, 1, without_highest=True)
    schedule: str = _one_of("constant", "cosine")
    warmup_epochs: float = _number(0.0, 0)
    weight_decay: float = _number(0.0, 0)
    label_smoothing: float = _number(0.0, 0, 1, without_highest=True)
    ema: float = _number(0.0, 0, 1, without_highest=True)
    epochs: int = _number(30, 1)
    batch_size: int = _number(256, 1)
    shift: int = _number(0, 0)
    flip: bool = False
    erasing: float = _number(0.0, 0, 1)

    def __post_init__(self) -> None:
        for key in dataclasses.fields(self):
            object.__setattr__(self, key.name, _checked(key, getattr(self, key.name)))
        if self.warmup_epochs >= self.epochs:
            raise ConfigurationError(
                f"warmup_epochs must be below epochs, which is {self.epochs}, not {self.warmup_epochs:g}"
            )
        if self.optimizer == "adam" and self.weight_decay:
            raise ConfigurationError("weight_decay must be 0 with the optimizer adam: adamw is adam with weight decay")


KEYS = tuple(key.name for key in dataclasses.fields(Recipe))


def _checked(key: dataclasses.Field[Any], value: Any) -> Any:
    kind: type = type(key.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
        raise ConfigurationError(f"{key.name} must be {words[kind.__name__]}, not {value!r}")
    names, limits = key.metadata.get("names"), key.metadata.get("limits")
    if names and value not in names:
        raise ConfigurationError(f"{key.name} must be one of {', '.join(names)}, not {value!r}")
    if limits and (value not in limits or value == float("inf")):
        raise ConfigurationError(f"{key.name} must be {limits}, not {value:g}")
    return value


def names() -> list[str]:
    """The recipes that come with this package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(recipe: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of that name, or in that file, with `overrides` in place of what it says.

    Raises: ConfigurationError, naming the file and the key, for a file that is missing or damaged, an unknown key, and
    a value of another type or out of its limits.
    """
    path = _path(recipe)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read the recipe {path}: {reason}") from None
    of_file = made(values, str(path))
    if not overrides:
        return of_file
    return made(dataclasses.asdict(of_file) | dict(overrides), f"{path} with {_words(overrides)}")


def made(values: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of `values`, which come from `where`.

    Raises: ConfigurationError, naming `where` and the key.
    """
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KEYS)}"
            raise ConfigurationError(f"{where}: there is no {key} in a recipe: {hint}")
    try:
        return Recipe(**values)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}") from None


def of_architecture(architecture: str) -> str:
    """The recipe that is meant where none is named: the architecture's own, or the default."""
    return architecture if architecture in names() else DEFAULT


def parsed(assignments: Iterable[str]) -> dict[str, Any]:
    """What `key=value` words say, their values as in TOML; text needs no quotes.

    Raises: ConfigurationError for a word without `=`.
    """
    values: dict[str, Any] = {}
    for word in assignments:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"{word!r} sets nothing: write key=value, such as flip=false")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value.strip()
    return values


def _path(recipe: str) -> Path:
    if "/" in recipe or recipe.endswith(".toml"):
        return Path(os.path.expanduser(recipe))  # noqa: PTH111 - Path raises for a user that there is not
    if recipe not in names():
        raise ConfigurationError(
            f"there is no recipe {recipe!r}; known are {', '.join(names())}, and a file of your own with its .toml"
        )
    return FOLDER / f"{recipe}.toml"


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
