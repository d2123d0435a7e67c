"""The query app's loop: from a source of images into an outbox, at a pace."""

import threading
import time

import click

from edge.outbox import Outbox
from edge.sensed import ImageSource

LOOK_S = 0.25
"""How often it is looked for new images, and for those that are safe by now."""


def sense(
    source: ImageSource,
    outbox: Outbox,
    interval_s: float,
    limit: int | None,
    print_ids: bool,
    stop: threading.Event,
) -> None:
    """Put one image each `interval_s` into the outbox, until there were `limit` or `stop` is set; then wait for them.

    Raises: EdgeError when images cannot be sent; the source knows by then which are safe.
    """
    sensed, next_s = 0, time.monotonic()
    try:
        while sensed != limit and not stop.wait(min(LOOK_S, max(0.0, next_s - time.monotonic()))):
            _note(source, outbox, print_ids)
            outbox.check()
            if time.monotonic() < next_s:
                continue
            image = source.next()
            if image is None:
                next_s = time.monotonic() + LOOK_S
                continue
            is_taken = outbox.offer(image)
            if not is_taken:
                source.refused(image.id)
            sensed += is_taken or not source.is_lasting
            # After a pause, a sensor goes on at its pace instead of catching up.
            next_s = max(next_s + interval_s, time.monotonic())
        outbox.finish(sensed == limit)
    finally:
        _note(source, outbox, print_ids)


def _note(source: ImageSource, outbox: Outbox, print_ids: bool) -> None:
    for image_id in outbox.accepted():
        source.accepted(image_id)
        if print_ids:
            click.echo(image_id)
