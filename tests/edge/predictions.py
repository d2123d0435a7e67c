"""The value of a prediction as plain `json.dumps` writes it: what the fast encoder must give, byte for byte."""

import json

from edge.codec import Prediction


def dumped(prediction: Prediction) -> bytes:
    """A prediction's JSON."""
    document = {
        "id": prediction.id,
        "class": prediction.class_index,
        "label": prediction.label,
        "confidence": round(prediction.confidence, 6),
        "model": prediction.model,
        "sha256": prediction.sha256,
        "queue_ms": round(prediction.queue_ms, 3),
        "infer_ms": round(prediction.infer_ms, 3),
        "batch": prediction.batch,
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
