"""Image classification with onnxruntime over Apache Kafka, for small devices; `edge.pubsub` is the API to import."""

import os

# From 1.32 on, onnxruntime gives the machine an id in its user's folder, keeps events there, and can report them to its
# maker. It looks at this when it is imported, so it must be set before; `ORT_DISABLE_TELEMETRY=0` lets it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
