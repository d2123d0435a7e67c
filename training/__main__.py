"""`python -m training`: train and evaluate a new run, or evaluate a saved one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from training import quiet, recipes

if TYPE_CHECKING:
    from training.runs import Run

EXIT_INTERRUPTED = 130
ARCHITECTURES = ("lenet", "smallcnn", "resnet20")
"""What `training.models` registers, which takes TensorFlow, and seconds, to ask."""
OVERRIDES = ("epochs", "batch_size", "learning_rate")
"""Options that are keys of a recipe; `--set` reaches the others."""
ONLY_FOR_TRAINING = ("architecture", "recipe", *OVERRIDES, "set", "seed", "visualise_every")


def _architecture(context: click.Context, option: click.Parameter, value: str) -> str:
    if value in ARCHITECTURES or ":" in value:
        return value
    raise click.BadParameter(f"{value!r} is not one of {', '.join(ARCHITECTURES)}, and no package.module:Class")


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--data", default="fashion_mnist", metavar="NAME|PATH",
              help="A tfds data set's name, a .npz file with image and label, or a folder of IDX files.")  # fmt: skip
@click.option("--architecture", default="lenet", metavar="NAME|CLASS", callback=_architecture,
              help=f"The model: {', '.join(ARCHITECTURES)}, or your own class, package.module:Class.")  # fmt: skip
@click.option("--recipe", metavar="NAME|PATH", show_default="the architecture's own, else default",
              help=f"How to train: {', '.join(recipes.names())}, or a TOML file of yours.")  # fmt: skip
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes over the training images.", show_default="as in recipe"
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images in one step of the optimiser.",
              show_default="as in recipe")  # fmt: skip
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="The highest of the schedule.",
              show_default="as in recipe")  # fmt: skip
@click.option("--set", metavar="KEY=VALUE", multiple=True,
              help=f"Another value for a key of the recipe; repeatable. Keys: {', '.join(recipes.KEYS)}.")  # fmt: skip
@click.option("--seed", default=0, type=click.IntRange(0, 2**31 - 1),
              help="Decides weights, order and splits: same seed, same machine, same result.")  # fmt: skip
@click.option("--runs", "root", default="runs", type=click.Path(file_okay=False, path_type=Path),
              help="Where run directories are made and looked for.")  # fmt: skip
@click.option("--visualise-every", default=0, metavar="N", type=click.IntRange(min=0),
              help="Draw predictions, confusion and filters after every N epochs; 0 draws none.")  # fmt: skip
@click.option("--dont-train", is_flag=True, help="Evaluate RUN's saved model, by default the newest complete run's.")
@click.argument("run", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def main(context: click.Context, /, run: Path | None, root: Path, dont_train: bool, **options: Any) -> None:
    """Train a classifier and evaluate it; the last line of output is the run's directory.

    With --dont-train nothing is written: the saved model of RUN (a run directory) is evaluated on the run's own test
    images, or on those of --data.
    """
    _check(context, run, dont_train)
    state: dict[str, Run] = {}
    try:
        if dont_train:
            data_given = context.get_parameter_source("data") != ParameterSource.DEFAULT
            _evaluate(run, root, options["data"] if data_given else None)
        else:
            _train(root, options, state)
    except KeyboardInterrupt:
        click.echo(_interrupted(state.get("run")), err=True)
        sys.exit(EXIT_INTERRUPTED)


def _check(context: click.Context, run: Path | None, dont_train: bool) -> None:
    if not dont_train:
        if run is not None:
            raise click.UsageError("RUN is only for --dont-train; a training always makes a new run")
        return
    given = [n for n in ONLY_FOR_TRAINING if context.get_parameter_source(n) != ParameterSource.DEFAULT]
    if given:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise click.UsageError(f"--dont-train contradicts {words}: a saved model is evaluated as it is")


def _train(root: Path, options: dict[str, Any], state: dict[str, "Run"]) -> None:
    quiet.import_tensorflow()
    from training import runs, train  # noqa: PLC0415 - TensorFlow takes seconds; --help does not wait for it

    made = train.Options(recipe=_recipe(options), **options)
    run = train.train_and_evaluate(made, root, lambda started: state.update(run=started))
    metrics = runs.read_json(run.metrics)
    _report(metrics["per_class_accuracy"])
    click.echo(f"best epoch           {metrics['best_epoch']}")
    for split in ("train", "validation", "test"):
        click.echo(f"{split + ' accuracy':<20} {metrics[split + '_accuracy']:.4f}")
    click.echo(run.path)


def _recipe(options: dict[str, Any]) -> recipes.Recipe:
    """The recipe that `options` name, with theirs in place of its own; they are taken out of `options`."""
    name = options.pop("recipe") or recipes.of_architecture(options["architecture"])
    overrides = {key: options.pop(key) for key in OVERRIDES}
    chosen = {key: value for key, value in overrides.items() if value is not None}
    return recipes.load(name, recipes.parsed(options.pop("set")) | chosen)


def _evaluate(path: Path | None, root: Path, source: str | None) -> None:
    quiet.import_tensorflow()
    from training import models, runs, train  # noqa: PLC0415

    run = runs.opened(path) if path else runs.newest(root)
    models.find_class(runs.read_json(run.config)["architecture"])
    evaluation = train.evaluate_saved(run, source)
    _report(evaluation.get_per_class_accuracy())
    click.echo(f"{'test accuracy':<20} {evaluation.get_accuracy():.4f}")
    click.echo(run.path)


def _report(accuracies: dict[str, float | None]) -> None:
    width = max(len("class"), *(len(name) for name in accuracies))
    click.echo(f"{'class':<{width}}  accuracy")
    for name, value in accuracies.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}")
    click.echo()


def _interrupted(run: "Run | None") -> str:
    if run is None:
        return "Interrupted before the first epoch; no run was made."
    return f"Interrupted; history and best model of the finished epochs stay in {run.path}, which is not complete."


if __name__ == "__main__":
    main(prog_name="python -m training")
