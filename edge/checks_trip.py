"""Checks that send something: a record to a topic of the doctor's own, and, if asked for, an image to a classifier."""

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

from edge.checks_cluster import PREDICTION, REQUEST
from edge.codec import CREATED_NS, REQUEST_ID, Prediction, decode_prediction, header
from edge.contract import Golden
from edge.errors import BadDataError, BrokerUnavailableError, NotAuthorisedError
from edge.preflight import Finding, Preflight, failure, ok, skipped, warning
from edge.pubsub import PubSub
from edge.records import Partition

TIMESTAMP_TYPE, BROKERS_TIME = "message.timestamp.type", "LogAppendTime"
OWN_CONFIG = {TIMESTAMP_TYPE: BROKERS_TIME, "retention.ms": "600000", "cleanup.policy": "delete"}
"""Of the doctor's own topic: the broker puts its own time on each record, and drops it after ten minutes."""

CLOCK_S = 1.0
"""How far two clocks may be apart without a warning."""
ANSWER_S = 15.0
"""How long a classifier may take to answer."""
_LOOK_S = 0.2

_now = time.time


def round_trip(preflight: Preflight) -> Iterator[Finding]:
    """One record written to a topic of the doctor's own, which is created for that, and read back."""
    topic = preflight.own_topic
    try:
        with preflight.cluster.connect() as pubsub:
            pubsub.create_topic(topic, 1, OWN_CONFIG, "WRITE")
            # The first write opens a connection; only the second one's time says something.
            _write(pubsub, topic)
            before = _now()
            key = _write(pubsub, topic)
            after = _now()
            with contextlib.closing(pubsub.client.scan(topic)) as records:
                found = next((record for record in records if record.key == key), None)
            took_ms = (_now() - before) * 1000
        if found is None:
            message = f"a record was acknowledged in {topic!r} and is not to be read there: look at the broker's log"
            yield failure("round trip", BrokerUnavailableError(message))
            return
        acknowledged_ms = (after - before) * 1000
        yield ok("round trip", f"{topic!r}: acknowledged after {acknowledged_ms:.1f} ms, read after {took_ms:.0f} ms")
        (own,) = preflight.inspector.topics([topic])
        if own.config.get(TIMESTAMP_TYPE) == BROKERS_TIME:
            stamp = found.timestamp_ms / 1000
            # The broker's clock has whole milliseconds.
            preflight.broker_ahead_s = stamp - after, stamp + 0.001 - before
    except NotAuthorisedError as error:
        yield warning("round trip", f"skipped, because of a right that only the doctor needs: {error.message}")


def _write(pubsub: PubSub, topic: str) -> bytes:
    key = uuid.uuid4().hex.encode()
    pubsub.write(topic, b"edge.doctor", key)
    pubsub.flush()
    return key


def clock(preflight: Preflight) -> Iterator[Finding]:
    """This clock against the broker's, by the time that it put on the doctor's record."""
    if preflight.broker_ahead_s is None:
        topic, needed = preflight.own_topic, f"{TIMESTAMP_TYPE}={BROKERS_TIME}"
        yield skipped("clock", f"only a record in {topic!r} with {needed} shows the broker's time, and there is none")
        return
    low, high = preflight.broker_ahead_s
    ahead_s, exact_s = (low + high) / 2, (high - low) / 2
    how = f"by the broker's time on a record in {preflight.own_topic!r}, to within {exact_s:.3f} s"
    if abs(ahead_s) - exact_s > CLOCK_S:
        where = "behind" if ahead_s > 0 else "ahead of"
        yield warning(
            "clock",
            f"this clock is {abs(ahead_s):.1f} s {where} the broker's ({how}): set both by NTP (timedatectl set-ntp "
            "true); ages of requests, --max-age, and latencies are off by that much, and certificates may seem invalid",
        )
    else:
        yield ok("clock", f"{abs(ahead_s):.3f} s from the broker's, {how}; ages of requests are off by that much")


def through_classifier(preflight: Preflight) -> Iterator[Finding]:
    """A golden image as a real request; the prediction that comes must be the one that the contract holds."""
    check = "classifier"
    if preflight.model is None or not preflight.model.contract.golden:
        yield skipped(check, "it takes a --model with golden inputs to know the right answer")
        return
    model, golden = preflight.model, preflight.model.contract.golden[0]
    request, prediction = preflight.topics[REQUEST], preflight.topics[PREDICTION]
    ends = preflight.inspector.ends(prediction)
    with preflight.cluster.connect() as pubsub:
        started = time.monotonic()
        answer = _ask(pubsub, request, prediction, golden, ends)
        took_ms = (time.monotonic() - started) * 1000
    if answer is None:
        message = f"no prediction came to {prediction!r} within {ANSWER_S:.0f} s of a request to {request!r}: start an "
        advice = "edge.classifier on these topics, or look at its log and at the dead letters"
        yield failure(check, BrokerUnavailableError(message + advice))
    elif answer.sha256 != model.sha256:
        who = f"{answer.model!r} ({answer.sha256})"
        yield warning(check, f"the request was answered by another model, {who}, not by this one ({model.sha256})")
    elif answer.class_index != int(golden.probabilities.argmax()):
        right = model.contract.labels[int(golden.probabilities.argmax())]
        message = f"a golden image was answered with {answer.label!r}, at export with {right!r}: restart the classifier"
        yield failure(check, BadDataError(message))
    else:
        yield ok(check, f"a golden image was answered with {answer.label!r}, as at export, within {took_ms:.0f} ms")


def _ask(
    pubsub: PubSub, request: str, prediction: str, golden: Golden, starts: dict[Partition, int]
) -> Prediction | None:
    """Send the image, and read what comes after `starts` until that is its answer; None when none comes in time."""
    name = f"edge_doctor-{uuid.uuid4().hex}"
    headers: list[tuple[str, Any]] = [(REQUEST_ID, name.encode()), (CREATED_NS, str(time.time_ns()).encode())]
    pubsub.write(request, golden.image.tobytes(), b"edge_doctor", headers)
    pubsub.flush()
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        with contextlib.closing(pubsub.client.scan(prediction, starts)) as records:
            for record in records:
                starts[record.partition] = record.offset + 1
                if header(record, REQUEST_ID) == name:
                    return decode_prediction(record)
        time.sleep(_LOOK_S)
    return None
