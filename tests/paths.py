"""Where the repository and its samples are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
LENET = SAMPLES / "lenet.onnx"
IMAGES = SAMPLES / "fashion_mnist_test_200.npz"
