"""The classifier in Quix Streams: a StreamingDataFrame from topic to topic, which passes the headers on."""

import tempfile

from quixstreams import Application

from bench.peers.apps.answer import Classifier, arguments


def main() -> None:
    """Run until SIGTERM."""
    with tempfile.TemporaryDirectory() as state_dir:
        _run(state_dir)


def _run(state_dir: str) -> None:
    given = arguments()
    app = Application(
        broker_address=given.servers,
        consumer_group=given.group,
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        loglevel="WARNING",
        # Made even without state, by default in the working directory.
        state_dir=state_dir,
        # librdkafka has 5 ms by default.
        producer_extra_config={"linger.ms": 0} if given.setting == "for-latency" else None,
    )
    requests = app.topic(given.requests, value_deserializer="bytes")
    predictions = app.topic(given.predictions, value_serializer="bytes")
    app.dataframe(requests).apply(Classifier(given.model).answer).to_topic(predictions)
    app.run()


if __name__ == "__main__":
    main()
