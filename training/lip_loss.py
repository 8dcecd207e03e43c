"""From predicted states to the lips: the shipped M' and the rig's lip landmarks, differentiable.

A millimetre of the latent's error may be a mouth that does not close. These terms are ours; the paper has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from media2face.data.rig import INNER_LIP_PAIRS
from media2face.evaluation.lips import CLOSED_MM, LipRig
from media2face.onnx_export.shipped import shipped_mapping

SOFT_MM = 0.5
"""The gap over which lips pass from closed to open in :meth:`LipReader.closure_error`."""


class LipReader(nn.Module):
    """Errors of the lips between true and predicted states.

    Args:
        mean, std: (D,) statistics of the states.
        latent_dim: size of z within the state.
        rig: lip landmarks of the mean identity.
        unit_mm: an error of this size costs one.
    """

    def __init__(self, mean: Tensor, std: Tensor, latent_dim: int, rig: LipRig, unit_mm: float = 1.5) -> None:
        super().__init__()
        self.latent_dim, self.unit_mm = latent_dim, unit_mm
        self.mapping = shipped_mapping()
        pairs = [rig.deltas[:, a - 48, 1] - rig.deltas[:, b - 48, 1] for a, b in INNER_LIP_PAIRS]
        for name, value in (
            ("state_mean", mean), ("state_std", std), ("mean", mean[:latent_dim]), ("std", std[:latent_dim]),
            ("deltas", torch.from_numpy(rig.deltas.reshape(len(rig.deltas), -1))),
            ("opening", torch.from_numpy(sum(pairs) / len(pairs))),
        ):  # fmt: skip
            self.register_buffer(name, value.clone(), persistent=False)

    def weights(self, states: Tensor) -> Tensor:
        """Blendshape weights (B, T, 52) in [0, 1] of standardised states (B, T, D)."""
        return self.mapping(states[..., : self.latent_dim] * self.std + self.mean).clamp(0.0, 1.0)

    def errors(self, clean: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """What the lips do wrong.

        Returns:
            squared error of the landmarks, (B, T, 60) in units of ``unit_mm``; and squared error of a soft "the lips
            are closed" (0 to 1, a logistic function of the inner-lip gap), (B, T, 1). Where the speech leaves open
            whether lips close, the latter is least when they are as near to closed as it is likely; the former hardly
            sees the millimetre by which m differs from n.
        """
        true, own = self.weights(clean), self.weights(predicted)
        landmarks = ((true - own) @ self.deltas / self.unit_mm) ** 2
        closed = [torch.sigmoid((CLOSED_MM - w @ self.opening) / SOFT_MM) for w in (true, own)]
        return landmarks, ((closed[0] - closed[1]) ** 2).unsqueeze(-1)
