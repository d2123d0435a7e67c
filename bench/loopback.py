"""Whether the driver keeps up: its requests are their own answers, `python -m bench.loopback`."""

import time
import uuid
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import result, statistics
from bench.apps import broker, unwind_on_sigterm
from bench.latency import summary, table
from bench.load import schedule
from bench.load.driver import Driver, Topics
from bench.load.trace import Trace
from edge import cli, cluster_options
from edge.cluster import Cluster
from edge.images import load_images
from edge.query import SAMPLES

WARM_UP_S, GRACE_S = 2.0, 30.0


@click.command(epilog="Example: python -m bench.loopback --rate 1000")
@click.option("--rate", type=cli.Finite(min=1), default=100.0, show_default=True, help="Requests a second.")
@click.option("--duration", type=cli.Finite(min=1), default=10.0, show_default=True, help="Seconds measured.")
@click.option(
    "--requests",
    type=click.IntRange(min=100),
    default=100_000,
    show_default=True,
    help="Sent at once, to find the ceiling.",
)
@result.output_option("loopback.json")
@cluster_options.cluster_or_own
@cli.verbose
def main(rate: float, duration: float, requests: int, output: Path, cluster: Cluster | None) -> None:
    """Measure what lies below every other measurement: the driver and the broker, with nobody between them.

    The driver reads the topic that it writes, so that this is one hop instead of two.
    """
    unwind_on_sigterm()
    topic = f"bench_loopback_{uuid.uuid4().hex[:8]}"
    with broker(cluster) as measured:
        with measured.connect() as pubsub:
            pubsub.create_topic(topic)
        driver = Driver(measured, Topics(topic, topic), load_images(SAMPLES))
        driver.start()
        driver.run(schedule.poisson(rate, WARM_UP_S, 1), GRACE_S)
        click.echo(f"measuring {rate:g}/s for {duration:g} s …", err=True)
        worked_s = time.process_time()
        paced = driver.run(schedule.poisson(rate, duration, 0), GRACE_S)
        worked_s = time.process_time() - worked_s
        click.echo(f"sending {requests:,} at once …", err=True)
        results = {**at_rate(paced, worked_s / duration), **at_once(driver.run(np.zeros(requests), GRACE_S))}
        driver.close()
    click.echo(table.loopback(results))
    configuration = {"rate_per_s": rate, "duration_s": duration, "requests": requests}
    result.write(output, result.document("loopback", configuration, results))


def at_rate(trace: Trace, cores: float) -> dict[str, Any]:
    """Latency over one hop, the sender's lag, and the share of a core that the driver took."""
    return {
        "latency_ms": statistics.percentiles(summary.latency_ms(trace)),
        "sender_lag_ms": statistics.percentiles(summary.lag_ms(trace)),
        "cores": round(cores, 4),
    }


def at_once(trace: Trace) -> dict[str, Any]:
    """How many requests a second the driver can send, and send and receive, at most."""
    count, start_s = len(trace.sent_s) - trace.missing, float(trace.sent_s[0])
    return {
        "lost": trace.missing,
        "most_sent_per_s": round(len(trace.sent_s) / (float(trace.sent_s[-1]) - start_s)),
        "most_received_per_s": round(count / (float(np.nanmax(trace.received_s)) - start_s)),
    }


if __name__ == "__main__":
    cli.run(main, "bench.loopback")
