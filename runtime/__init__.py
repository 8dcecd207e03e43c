"""The engine: ONNX Runtime sessions, schedulers, streaming state and clocks; no ROS and no torch."""
