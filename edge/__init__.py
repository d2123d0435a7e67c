"""Image classification with onnxruntime over Apache Kafka, for small devices; `edge.pubsub` is the API to import."""
