"""From predicted states to the lips: the shipped M' and the rig's lip landmarks, differentiable.

A millimetre of the latent's error may be a mouth that does not close. This term is ours; the paper has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from media2face.evaluation.lips import LipRig
from media2face.onnx_export.shipped import shipped_mapping


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
