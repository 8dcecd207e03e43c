"""IO binding: what a network gives to its own next pass stays on the device, and only results cross to the host.

Used where a GPU runs the session; it works on a CPU as well, which is how it is tested.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnxruntime as ort

GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def run_bound(
    session: ort.InferenceSession,
    outputs: Sequence[str],
    feeds: Mapping[str, np.ndarray | ort.OrtValue],
    keep: Collection[str] = (),
) -> dict[str, np.ndarray | ort.OrtValue]:
    """One pass; outputs named in ``keep`` stay on the session's device and may be fed to the next pass as they are.

    Args:
        session: the network.
        outputs: names of its outputs.
        feeds: arrays of the host, or values kept by an earlier pass.
        keep: names of outputs that stay; the others come back as arrays.
    """
    device = "cuda" if session.get_providers()[0] in GPU_PROVIDERS else "cpu"
    binding = session.io_binding()
    for name, value in feeds.items():
        if isinstance(value, ort.OrtValue):
            binding.bind_ortvalue_input(name, value)
        else:
            binding.bind_cpu_input(name, np.ascontiguousarray(value))
    for name in outputs:
        binding.bind_output(name, device if name in keep else "cpu")
    session.run_with_iobinding(binding)
    made = dict(zip(outputs, binding.get_outputs(), strict=True))
    return {name: value if name in keep else value.numpy() for name, value in made.items()}


def on_host(value: np.ndarray | ort.OrtValue) -> np.ndarray:
    """A value kept by an earlier pass, or an array, as an array: for a session that runs without binding."""
    return value.numpy() if isinstance(value, ort.OrtValue) else value
