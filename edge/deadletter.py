"""Looks at dead letters, and sends them once more: `python -m edge.deadletter list`, `show` and `replay`."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import IO

import click

from edge import cli, cluster_options, logs
from edge.cluster import Cluster
from edge.errors import BadDataError, ConfigurationError, EdgeError, NotAuthorisedError
from edge.letter import REPLAYED_FROM, DeadLetter, details, hex_line, selected, to_json, to_line
from edge.pubsub import PubSub
from edge.records import Partition
from edge.rejections import kind_of

SHOWN_BYTES = 512
MAX_UNSETTLED_BYTES = 16 * 1024 * 1024
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


Place = tuple[int, int]
"""Partition and offset of a dead letter."""


def read_moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """A callback that accepts a time, local unless it names a zone, or an age in s, m, h or d."""
    if value is None:
        return None
    if (age := re.fullmatch(r"([0-9]{1,5})([smhd])", value)) is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        return datetime.fromisoformat(value).astimezone()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a time such as 2026-11-24T13:00 nor an age such as 30m"
        ) from None


def read_place(_: click.Context, __: click.Parameter, value: str) -> Place:
    """A callback that accepts a partition and an offset, as `list` prints them."""
    if (match := re.fullmatch(r"([0-9]{1,9})[-:]([0-9]{1,18})", value)) is None:
        raise click.BadParameter(f"{value!r} is not PARTITION-OFFSET, such as 0-17")
    return int(match[1]), int(match[2])


def read_places(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Place, ...]:
    """The same for several."""
    return tuple(read_place(context, parameter, value) for value in values)


def selection(command: cli.Command) -> cli.Command:
    """The options that select dead letters."""
    reason = click.option("--reason", metavar="TEXT", help="Only those whose reason has this text, in any case.")
    since = click.option(
        "--since", callback=read_moment, metavar="TIME|AGE", help="Only those written since, such as 30m ago."
    )
    return reason(since(command))


@click.group(epilog="Example: python -m edge.deadletter list --summary")
def main() -> None:
    """Look into the dead-letter topic, and send what is mended once more."""


@main.command("list", epilog="Example: python -m edge.deadletter list --reason dtype --since 2h")
@selection
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.  [default: all there are]")
@click.option("--summary", is_flag=True, help="Count them by kind of reason, with an example of each.")
@cli.json_output
@cli.dead_letter_topic
@cluster_options.cluster
@cli.verbose
def list_letters(
    reason: str | None,
    since: datetime | None,
    limit: int | None,
    summary: bool,
    as_json: bool,
    dead_letter_topic: str,
    cluster: Cluster,
) -> None:
    """Print a line for each dead letter: its PARTITION-OFFSET, time, the record's origin, size, key and reason."""
    if summary and as_json:
        raise click.UsageError("--summary and --json exclude each other")
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    with cluster.connect(cli.stop_on_signals()) as pubsub, closing(pubsub.client.scan(dead_letter_topic)) as records:
        for count, letter in enumerate(selected(records, reason, since), 1):
            if summary:
                kind = kind_of(letter.reason)
                kinds[kind] += 1
                examples.setdefault(kind, f"{letter.reason}  (such as {letter.id})")
            else:
                click.echo(to_json(letter) if as_json else logs.printable(to_line(letter)))
            if count == limit:
                break
    for kind, count in kinds.most_common():
        click.echo(logs.printable(f"{count:8}  {examples[kind]}"))


@main.command(epilog="Example: python -m edge.deadletter show 0-17 --output value.bin")
@click.argument("place", callback=read_place, metavar="PARTITION-OFFSET")
@click.option("--output", type=click.File("wb"), help="Write the value to a file instead of showing its beginning.")
@cli.dead_letter_topic
@cluster_options.cluster
@cli.verbose
def show(place: Place, output: IO[bytes] | None, dead_letter_topic: str, cluster: Cluster) -> None:
    """Show a dead letter's reason, its record's headers and value."""
    with cluster.connect(cli.stop_on_signals()) as pubsub:
        letter = _find(pubsub, dead_letter_topic, place)
    for line in details(letter):
        click.echo(logs.printable(line))
    value = letter.record.value or b""
    if output is not None:
        output.write(value)
        click.echo(f"{len(value)} bytes written to {output.name}")
        return
    for start in range(0, min(len(value), SHOWN_BYTES), 16):
        click.echo(hex_line(start, value[start : start + 16]))
    if len(value) > SHOWN_BYTES:
        click.echo(f"and {len(value) - SHOWN_BYTES} bytes more: --output FILE writes them all")


@main.command(epilog="Example: python -m edge.deadletter replay --reason dtype --dry-run")
@click.argument("places", callback=read_places, metavar="[PARTITION-OFFSET]…", nargs=-1)
@selection
@click.option("--to", metavar="TOPIC", callback=cli.check_topic, help="Another topic than each record's own.")
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@cli.dead_letter_topic
@cluster_options.cluster
@cli.verbose
def replay(
    places: tuple[Place, ...],
    reason: str | None,
    since: datetime | None,
    to: str | None,
    dry_run: bool,
    yes: bool,
    dead_letter_topic: str,
    cluster: Cluster,
) -> None:
    """Write dead letters to their records' topics again, as they were: those named, or all that the options select.

    Nothing is taken out of the dead-letter topic, so a second replay asks once more. A record that is rejected again
    says in its header dead-letter-replayed-from which dead letter it comes from.
    """
    if to == dead_letter_topic:
        raise click.UsageError("--to names the topic of the dead letters itself")
    if places and (reason is not None or since is not None):
        raise click.UsageError("name dead letters, or select them by --reason and --since, but not both")
    choice = (dead_letter_topic, places, reason, since)
    if not (dry_run or yes) and sys.stdin.isatty():
        with cluster.connect() as pubsub:
            count = sum(1 for _ in _chosen(pubsub, *choice))
        click.confirm(f"Replay {count} dead letters?", abort=True)
    with cluster.connect(cli.stop_on_signals()) as pubsub:
        replayed, refused = _replay(pubsub, _chosen(pubsub, *choice), to, dry_run)
    click.echo(f"{replayed} dead letters {'would be replayed' if dry_run else 'replayed and acknowledged'}")
    if refused:
        raise BadDataError(f"{refused} dead letters cannot be replayed: the lines above say why")


def _chosen(
    pubsub: PubSub, topic: str, places: tuple[Place, ...], reason: str | None, since: datetime | None
) -> Iterator[DeadLetter]:
    if places:
        yield from [_find(pubsub, topic, place) for place in dict.fromkeys(places)]
        return
    with closing(pubsub.client.scan(topic)) as records:
        yield from selected(records, reason, since)


def _replay(pubsub: PubSub, letters: Iterator[DeadLetter], to: str | None, is_dry: bool) -> tuple[int, int]:
    """Write what can be written; returns how many were, and how many were refused."""
    replayed = refused = unsettled_bytes = 0
    obstacles: dict[str, str | None] = {}
    if to is not None:
        _check_topic(pubsub, to)
        obstacles[to] = None
    try:
        for letter in letters:
            topic = to or letter.said("topic")
            if topic is not None and topic not in obstacles:
                obstacles[topic] = _obstacle(pubsub, topic)
            obstacle = letter.obstacle or ("it names no topic, --to does" if topic is None else obstacles[topic])
            if topic is None or obstacle is not None:
                refused += 1
                logs.say(logs.printable(f"{letter.id} is not replayed: {obstacle}"))
                continue
            replayed += 1
            if is_dry:
                click.echo(logs.printable(f"{letter.id} would go to {topic}"))
                continue
            _write(pubsub, topic, letter)
            unsettled_bytes += len(letter.record.value or b"")
            if unsettled_bytes > MAX_UNSETTLED_BYTES:
                pubsub.flush()
                unsettled_bytes = 0
        pubsub.flush()
    except EdgeError:
        if replayed and not is_dry:
            logs.say(f"of {replayed} dead letters written, not all were acknowledged")
        raise
    return replayed, refused


def _find(pubsub: PubSub, topic: str, place: Place) -> DeadLetter:
    with closing(pubsub.client.scan(topic, {Partition(topic, place[0]): place[1]})) as records:
        record = next(records, None)
    if record is None or record.offset != place[1]:
        raise BadDataError(f"there is no dead letter {place[0]}-{place[1]} in {topic!r}: `list` says what there is")
    return DeadLetter(record)


def _obstacle(pubsub: PubSub, topic: str) -> str | None:
    """Why nothing can be written to a topic that a dead letter names, which may be anything; None when it can."""
    try:
        _check_topic(pubsub, topic)
    except (ConfigurationError, NotAuthorisedError) as error:
        return error.message
    return None


def _check_topic(pubsub: PubSub, topic: str) -> None:
    """Raises ConfigurationError at once when there is no such topic; a producer would wait for it to come."""
    for _ in pubsub.client.scan(topic, {}):
        pass


def _write(pubsub: PubSub, topic: str, letter: DeadLetter) -> None:
    record = letter.record
    place = f"{record.partition.topic}-{record.partition.number}-{record.offset}"
    pubsub.write(topic, record.value, record.key, [*letter.headers, (REPLAYED_FROM, place.encode())])


if __name__ == "__main__":
    cli.run(main, "edge.deadletter")
