"""Publish and subscribe, tried with numbers: `python -m edge.counter produce` and `consume`."""

import click

from edge import cli, cluster_options
from edge.cluster import Cluster

FIRST, LAST = 1, 100

topic = click.option(
    "--topic", default="test_A", callback=cli.check_topic, show_default=True, help="Topic of the numbers."
)


@click.group(epilog="Example: python -m edge.counter produce --interval 0")
def main() -> None:
    """Smoke test of a Kafka cluster: write the integers 1 to 100, and read them."""


@main.command(epilog="Example: python -m edge.counter produce --bootstrap-servers broker:9092 --interval 0")
@topic
@click.option(
    "--interval", type=cli.Finite(min=0), default=3.0, show_default=True, help="Seconds from number to number."
)
@cluster_options.cluster
@cli.verbose
def produce(topic: str, interval: float, cluster: Cluster) -> None:
    """Write the integers 1 to 100, one each interval."""
    stop = cli.stop_on_signals()
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(topic, right="WRITE")
        for number in range(FIRST, LAST + 1):
            pubsub.write(topic, str(number).encode())
            pubsub.flush()
            click.echo(f"wrote {number}")
            if number < LAST and stop.wait(interval):
                break


@main.command(epilog="Example: python -m edge.counter consume --bootstrap-servers broker:9092 --limit 100")
@topic
@cli.group("edge.counter")
@cli.limit
@cluster_options.cluster
@cli.verbose
def consume(topic: str, group: str, limit: int | None, cluster: Cluster) -> None:
    """Read the integers and print them."""
    stop = cli.stop_on_signals()
    with cluster.connect(stop) as pubsub:
        pubsub.create_topic(topic, right="READ")
        for record in pubsub.subscribe(topic, group, limit):
            click.echo(f"read {(record.value or b'').decode('utf-8', 'replace')}")


if __name__ == "__main__":
    cli.run(main, "edge.counter")
