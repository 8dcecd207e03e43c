"""From predicted states to the lips: the shipped M' and the rig's lip landmarks, differentiable.

A millimetre of the latent's error may be a mouth that does not close. This term is ours; the paper has none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from media2face.evaluation.lips import LipRig
from media2face.models.gnpfa.networks import Mapping
from media2face.runtime.sessions import weights_folder


def shipped_mapping(name: str = "gnpfa_to_weights", folder: Path | None = None) -> Mapping:
    """M or M' as a frozen torch module, read from the shipped ONNX file (so the loss sees what the engine runs)."""
    graph = onnx.load(str(weights_folder(folder) / f"{name}.onnx")).graph
    arrays = {t.name.removesuffix("_fp16"): numpy_helper.to_array(t).astype(np.float32) for t in graph.initializer}

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


class LipReader(nn.Module):
    """Error of the 20 lip landmarks between true and predicted states.

    Args:
        mean, std: (D,) statistics of the states.
        latent_dim: size of z within the state.
        rig: lip landmarks of the mean identity.
        unit_mm: an error of this size costs one.
    """

    def __init__(self, mean: Tensor, std: Tensor, latent_dim: int, rig: LipRig, unit_mm: float = 1.5) -> None:
        super().__init__()
        self.mean, self.std, self.latent_dim, self.unit_mm = mean[:latent_dim], std[:latent_dim], latent_dim, unit_mm
        self.mapping = shipped_mapping()
        self.deltas = torch.from_numpy(rig.deltas.reshape(len(rig.deltas), -1))

    def landmarks(self, states: Tensor) -> Tensor:
        """Offsets of the lip landmarks, (B, T, 60) mm, of standardised states (B, T, D)."""
        z = states[..., : self.latent_dim] * self.std + self.mean
        return self.mapping(z).clamp(0.0, 1.0) @ self.deltas

    def error(self, clean: Tensor, predicted: Tensor) -> Tensor:
        """Squared landmark error (B, T, 60) in units of ``unit_mm``."""
        return ((self.landmarks(clean) - self.landmarks(predicted)) / self.unit_mm) ** 2
