"""What several benchmarks are told."""

from pathlib import Path

MODEL = Path("samples/lenet.onnx")
