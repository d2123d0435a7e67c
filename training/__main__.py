"""`python -m training`: train and evaluate a new run, evaluate a saved one, or look at some."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from training import modes, quiet, recipes

if TYPE_CHECKING:
    from training.runs import Run

EXIT_INTERRUPTED = 130
ARCHITECTURES = ("lenet", "smallcnn", "resnet20")
"""What `training.models` registers, which takes TensorFlow, and seconds, to ask."""


def _architecture(context: click.Context, option: click.Parameter, value: str) -> str:
    if value in ARCHITECTURES or ":" in value:
        return value
    raise click.BadParameter(f"{value!r} is not one of {', '.join(ARCHITECTURES)}, and no package.module:Class")


class SeveralSeeds(click.Command):
    """A command whose `--seeds` takes all numbers that follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write `--seeds 0 1 2` as click reads it: `--seeds 0 --seeds 1 --seeds 2`."""
        words: list[str] = []
        is_seed = False
        for word in args:
            if is_seed and word.isdigit() and words[-1] != "--seeds":
                words.append("--seeds")
            words.append(word)
            is_seed = word == "--seeds" or (is_seed and word.isdigit())
        return super().parse_args(ctx, words)


@click.command(
    cls=SeveralSeeds,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 110},
)
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
@click.option("--seeds", multiple=True, metavar="N...", type=click.IntRange(0, 2**31 - 1),
              help="One run for each of these seeds, such as 0 1 2; then mean ± sd of the test accuracy.")  # fmt: skip
@click.option("--runs", "root", default="runs", type=click.Path(file_okay=False, path_type=Path),
              help="Where run directories are made and looked for.")  # fmt: skip
@click.option("--stream", is_flag=True,
              help="Keep images in a file under --runs, not in memory: slower, with the same result.")  # fmt: skip
@click.option("--mixed-precision", is_flag=True,
              help="Compute in 16 bits where that is safe, for GPUs with tensor cores.")  # fmt: skip
@click.option("--replicas", default=1, type=click.IntRange(min=1),
              help="GPUs that share each batch.")  # fmt: skip
@click.option("--visualise-every", default=0, metavar="N", type=click.IntRange(min=0),
              help="Draw predictions, filters, hardest images and more after every N epochs; 0: none.")  # fmt: skip
@click.option("--measure-every", default=1, metavar="N", type=click.IntRange(min=1),
              help="Measure calibration and each class's accuracy after every N epochs.")  # fmt: skip
@click.option("--calibrate/--no-calibrate", default=True,
              help="Divide exported logits by what makes confidence right on validation images.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Go on with RUN, by default the newest that was cut off, from its last finished epoch.")  # fmt: skip
@click.option("--dont-train", is_flag=True, help="Evaluate RUN's saved model, by default the newest complete run's.")
@click.option("--list", is_flag=True, help="List the runs under --runs with their results.")
@click.option("--compare", is_flag=True,
              help="Put RUNs side by side: a table, and their curves in a new file under --runs.")  # fmt: skip
@click.argument("paths", metavar="[RUN]...", nargs=-1,
                type=click.Path(exists=True, file_okay=False, path_type=Path))  # fmt: skip
@click.pass_context
def main(context: click.Context, /, paths: tuple[Path, ...], root: Path, **options: Any) -> None:
    """Train a classifier and evaluate it; the last line of output is the run's directory, with --seeds the summary.

    With --resume a run (a directory) that was cut off is completed, with the weights it would have had without that;
    together with --seeds and the options of then, only what is missing is trained.
    With --dont-train nothing is written: the saved model of RUN is evaluated on the run's own test images, or on
    those of --data. With --compare the last line is the file of the curves.
    """
    mode = modes.asked(context, len(paths))
    for name in modes.OTHERS:
        options.pop(name)
    several = options.pop("seeds")
    run, state = paths[0] if paths else None, dict[str, "Run"]()
    try:
        if mode == "list":
            _list(root)
        elif mode == "compare":
            _compare(paths, root)
        elif mode == "dont_train":
            data_given = context.get_parameter_source("data") != ParameterSource.DEFAULT
            _evaluate(run, root, options["data"] if data_given else None)
        elif mode == "resume" and not several:
            _go_on(run, root, state)
        else:
            _train(root, options, several, state, mode == "resume")
    except KeyboardInterrupt:
        click.echo(_interrupted(state.get("run"), bool(several)), err=True)
        sys.exit(EXIT_INTERRUPTED)


def _train(
    root: Path, options: dict[str, Any], several: tuple[int, ...], state: dict[str, "Run"], resume: bool
) -> None:
    recipe = _recipe(options)
    quiet.import_tensorflow()
    from training import seeds, train  # noqa: PLC0415 - TensorFlow takes seconds; --help does not wait for it

    made = train.Options(recipe=recipe, **options)
    if not several:
        _show(train.train_and_evaluate(made, root, lambda started: state.update(run=started)))
        return
    repeated, path = seeds.train_each(made, several, root, lambda started: state.update(run=started), resume)
    for seed, accuracy, run in zip(repeated.seeds, repeated.test_accuracy, repeated.runs, strict=True):
        click.echo(f"seed {seed}  {accuracy:.4f}  {root / run}")
    click.echo(f"test accuracy  {repeated}")
    click.echo(path)


def _go_on(path: Path | None, root: Path, state: dict[str, "Run"]) -> None:
    quiet.import_tensorflow()
    from training import resume, runs, train  # noqa: PLC0415

    run = runs.Run(path) if path else resume.newest(root)
    click.echo(f"Going on with {run.path} ...", err=True)
    _show(train.go_on(run, lambda started: state.update(run=started)))


def _show(run: "Run") -> None:
    from training import runs  # noqa: PLC0415

    metrics = runs.read_json(run.metrics)
    _report(metrics["per_class_accuracy"])
    click.echo(f"best epoch           {metrics['best_epoch']}")
    for split in ("train", "validation", "test"):
        click.echo(f"{split + ' accuracy':<20} {metrics[split + '_accuracy']:.4f}")
    click.echo(f"{'calibration error':<20} {metrics['calibration']['ece']['after']:.4f}")
    click.echo(run.path)


def _recipe(options: dict[str, Any]) -> recipes.Recipe:
    """The recipe that `options` name, with theirs in place of its own; they are taken out of `options`."""
    name = options.pop("recipe") or recipes.of_architecture(options["architecture"])
    overrides = {key: options.pop(key) for key in modes.OVERRIDES}
    chosen = {key: value for key, value in overrides.items() if value is not None}
    return recipes.load(name, recipes.parsed(options.pop("set")) | chosen)


def _list(root: Path) -> None:
    from training import compare  # noqa: PLC0415 - matplotlib takes a second

    click.echo(compare.listing(compare.listed(root)))


def _compare(paths: tuple[Path, ...], root: Path) -> None:
    from training import compare, runs  # noqa: PLC0415

    summaries = [compare.summarised(runs.Run(path)) for path in paths]
    click.echo(compare.comparison(summaries))
    click.echo(compare.write_curves(summaries, root))


def _evaluate(path: Path | None, root: Path, source: str | None) -> None:
    quiet.import_tensorflow()
    from training import finish, models, runs  # noqa: PLC0415

    run = runs.opened(path) if path else runs.newest(root)
    models.find_class(runs.read_json(run.config)["architecture"])
    evaluation = finish.evaluate_saved(run, source)
    _report(evaluation.get_per_class_accuracy())
    click.echo(f"{'test accuracy':<20} {evaluation.get_accuracy():.4f}")
    click.echo(f"{'calibration error':<20} {evaluation.get_reliability().ece:.4f}")
    click.echo(run.path)


def _report(accuracies: dict[str, float | None]) -> None:
    width = max(len("class"), *(len(name) for name in accuracies))
    click.echo(f"{'class':<{width}}  accuracy")
    for name, value in accuracies.items():
        click.echo(f"{name:<{width}}  {'-' if value is None else f'{value:.4f}'}")
    click.echo()


def _interrupted(run: "Run | None", is_one_of_several: bool) -> str:
    if run is None:
        return "Interrupted before the first epoch; no run was made."
    if is_one_of_several:
        return "Interrupted; the same command with --resume trains what is missing."
    if run.complete:
        return f"Interrupted; {run.path} is complete."
    if not run.state.is_file():
        return f"Interrupted; {run.path} has not finished an epoch."
    return f"Interrupted; go on from the last finished epoch with `python -m training --resume {run.path}`."


if __name__ == "__main__":
    main(prog_name="python -m training")
