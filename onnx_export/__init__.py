"""Torch to ONNX: one function per model, with numerical parity."""
