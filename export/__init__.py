"""From a training run to one ONNX file that says everything an edge device must know."""
