"""Parts of the shipped ONNX files as arrays and torch modules, for trainings that build on frozen models.

Reading the files that ship, and not the runs they came from, makes a training see exactly what the engine will run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from media2face.models.gnpfa.networks import Mapping
from media2face.runtime.sessions import weights_folder


def _read(name: str, folder: Path | None) -> tuple[onnx.GraphProto, dict[str, np.ndarray]]:
    graph = onnx.load(str(weights_folder(folder) / f"{name}.onnx")).graph
    return graph, {t.name.removesuffix("_fp16"): numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer}


def shipped_mapping(name: str = "gnpfa_to_weights", folder: Path | None = None) -> Mapping:
    """M or M' as a frozen torch module, read from the shipped ONNX file (so the loss sees what the engine runs)."""
    _, arrays = _read(name, folder)

    def stored(key: str) -> np.ndarray | None:
        return next((a for n, a in arrays.items() if n == key or n.endswith("." + key)), None)

    outputs, inputs = stored("affine.weight").shape
    mapping = Mapping(inputs, outputs, stored("residual.0.weight").shape[0])
    state = mapping.state_dict()
    for key in state:
        array = stored(key)  # a bias that stayed zero is left out of the graph
        state[key] = torch.zeros_like(state[key]) if array is None else torch.from_numpy(array.copy())
    mapping.load_state_dict(state)
    return mapping.requires_grad_(False).eval()


def phone_head(folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The shipped encoder's linear phone head: weight (phones, A) and bias (phones,)."""
    graph, arrays = _read("speech_context", folder)
    last = next(n for n in graph.node if n.output[0] == "phone_logits")
    bias = next(arrays[name] for name in last.input if name in arrays)
    product = next(n for n in graph.node if n.output[0] in last.input)
    weight = next(arrays[name] for name in product.input if name in arrays)
    return weight.T.copy(), bias
