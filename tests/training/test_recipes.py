"""Recipes: what comes with the package, what a file and the command line may say, and how a mistake is told."""

import dataclasses
from pathlib import Path

import pytest

from training import recipes
from training.__main__ import ARCHITECTURES
from training.errors import ConfigurationError
from training.recipes import Recipe


def test_each_architecture_has_a_recipe_and_there_is_a_default() -> None:
    assert {*ARCHITECTURES, "default", "resnet20-gpu"} <= set(recipes.names())
    assert [recipes.of_architecture(name) for name in ("resnet20", "mine.nets:Net")] == ["resnet20", "default"]


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_that_come_along_are_valid_and_train_a_single_epoch_too(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.epochs >= 30
    shortened = recipes.load(name, {"epochs": 1, "warmup_epochs": min(recipe.warmup_epochs, 0.5)})
    assert dataclasses.replace(shortened, epochs=recipe.epochs, warmup_epochs=recipe.warmup_epochs) == recipe


@pytest.mark.parametrize("name", [*ARCHITECTURES, "default"])
def test_epochs_alone_shorten_what_is_taken_unasked(name: str) -> None:
    assert recipes.load(name, {"epochs": 1}).epochs == 1


def test_default_knows_nothing_of_the_images() -> None:
    recipe = recipes.load("default")
    assert (recipe.shift, recipe.flip, recipe.erasing) == (0, False, 0)


def test_file_says_some_keys_and_overrides_win(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('optimizer = "sgd"\nlearning_rate = 1\nflip = true\n')
    assert recipes.load(str(path)) == Recipe(optimizer="sgd", learning_rate=1.0, flip=True)
    assert recipes.load(str(path), {"learning_rate": 0.5}) == Recipe(optimizer="sgd", learning_rate=0.5, flip=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("momentun = 0.5", "there is no momentun in a recipe: did you mean momentum?"),
        ("colour = 0.5", "there is no colour in a recipe: known are optimizer, learning_rate, "),
        ("[augmentation]\nflip = true", "there is no augmentation in a recipe"),
        ("epochs = 2.5", "epochs must be a whole number, not 2.5"),
        ("epochs = true", "epochs must be a whole number, not True"),
        ("epochs = 0", "epochs must be at least 1, not 0"),
        ("learning_rate = '0.1'", "learning_rate must be a number, not '0.1'"),
        ("learning_rate = false", "learning_rate must be a number, not False"),
        ("learning_rate = 0", "learning_rate must be above 0, not 0"),
        ("learning_rate = nan", "learning_rate must be above 0, not nan"),
        ("learning_rate = inf", "learning_rate must be above 0, not inf"),
        ("flip = 1", "flip must be true or false, not 1"),
        ("flip = 'yes'", "flip must be true or false, not 'yes'"),
        ("shift = -1", "shift must be at least 0, not -1"),
        ("erasing = 1.5", "erasing must be at least 0 and at most 1, not 1.5"),
        ("ema = 1", "ema must be at least 0 and below 1, not 1"),
        ("optimizer = 'lamb'", "optimizer must be one of adam, adamw, sgd, not 'lamb'"),
        ("schedule = 3", "schedule must be text, not 3"),
        ("warmup_epochs = 30", "warmup_epochs must be below epochs, which is 30, not 30"),
        ("weight_decay = 0.1", "weight_decay must be 0 with the optimizer adam"),
        ("epochs = ", "cannot read the recipe"),
        ("epochs = 1\nepochs = 2", "cannot read the recipe"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_key(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        recipes.load(str(path))
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_mistake_in_an_override_names_it() -> None:
    with pytest.raises(ConfigurationError, match=r"lenet\.toml with epochs=5, warmup_epochs=7: warmup_epochs must be"):
        recipes.load("lenet", {"epochs": 5, "warmup_epochs": 7})


@pytest.mark.parametrize("name", ["nowhere/x.toml", "absent.toml"])
def test_file_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot read the recipe {name}: No such file"):
        recipes.load(name)


def test_unknown_name() -> None:
    with pytest.raises(ConfigurationError, match="no recipe 'lenet5'; known are default, lenet, "):
        recipes.load("lenet5")


def test_assignments_are_read_as_toml_and_text_needs_no_quotes() -> None:
    words = ["epochs=3", "learning_rate = 1e-3", "flip=true", "optimizer=sgd", 'schedule="cosine"']
    expected = {"epochs": 3, "learning_rate": 1e-3, "flip": True, "optimizer": "sgd", "schedule": "cosine"}
    assert recipes.parsed(words) == expected
    with pytest.raises(ConfigurationError, match="'flip' sets nothing"):
        recipes.parsed(["flip"])
