"""Sends requests as cameras do."""

import time
import uuid
from dataclasses import dataclass

from edge.images import Images
from edge.pubsub import PubSub


@dataclass(frozen=True)
class Ask:
    """Writes requests of sample images to a topic."""

    pubsub: PubSub
    topic: str
    samples: Images

    def __call__(
        self, number: int = 0, truth: str | None = None, key: str = "camera", value: bytes | None = None
    ) -> str:
        """Send one; by default image and true label are the sample's. Returns its id."""
        name = uuid.uuid4().hex
        label = truth or self.samples.true_label(number) or ""
        headers = {"request-id": name, "created-ns": str(time.time_ns()), "true-label": label}
        image = self.samples.image[number].tobytes() if value is None else value
        self.pubsub.write(self.topic, image, key.encode(), [(each, text.encode()) for each, text in headers.items()])
        self.pubsub.flush()
        return name
