"""The classifier in FastStream, on confluent-kafka or on aiokafka, acknowledging what it has answered."""

import asyncio
import importlib
import sys
from typing import Annotated, Any

from faststream import AckPolicy, Context, FastStream

from bench.peers.apps.answer import Classifier, arguments

MAX_RECORDS = 200
Message = Annotated[Any, Context("message")]


async def body_of(message: Any) -> Any:
    """The bytes as they are, of one message or of a batch."""
    return message.body


def main() -> None:
    """Run until SIGTERM; the first argument is the package of `faststream` to use, `confluent` or `kafka`."""
    client = sys.argv.pop(1)
    package = importlib.import_module(f"faststream.{client}")
    given = arguments()
    # A log line for each message would cost more than the message.
    broker = package.KafkaBroker(given.servers, logger=None)
    classifier = Classifier(given.model)
    # By default it would try to read each image as JSON.
    options: dict[str, Any] = {
        "decoder": body_of,
        "group_id": given.group,
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
    }
    # confluent-kafka would wait for a batch to fill, aiokafka gives what is there.
    if given.setting == "for-rate":

        @broker.subscriber(given.requests, batch=True, max_records=MAX_RECORDS, **options)
        async def answer_all(bodies: list[bytes], batch: Message) -> None:
            answers = zip(classifier.answers(bodies), batch.batch_headers, strict=True)
            await asyncio.gather(
                *(
                    broker.publish(answer, given.predictions, headers={"request-id": headers["request-id"]})
                    for answer, headers in answers
                )
            )

    else:

        @broker.subscriber(given.requests, **options)
        @broker.publisher(given.predictions)
        async def answer(body: bytes, request: Message) -> Any:
            headers = {"request-id": request.headers["request-id"]}
            return package.KafkaResponse(classifier.answer(body), headers=headers)

    asyncio.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    main()
