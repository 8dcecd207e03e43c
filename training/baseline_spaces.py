"""The state spaces of the baselines: cached states [z, pose] in another space, and the lips of predicted states.

* ``weights``: the 52 linear blendshape weights that the shipped M' reads from z (the paper's "w/o GNPFA");
* ``vertices``: displacements from rest, in mm, of the points of ``evaluation.measured_face`` (x, y, z of each in turn):
  raw geometry without a face space, as FaceDiffuser has it, on 400 vertices of lips and upper face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from media2face.evaluation.lips import lip_rig
from media2face.evaluation.measured_face import measured_face
from media2face.runtime.decoder import FaceDecoder
from media2face.training.lip_loss import LipReader

POSE = 6
CHUNK = 4096


def states_in(space: str, states: np.ndarray, data: Path) -> np.ndarray:
    """States (N, D') float32 in ``space`` of cached states (N, D) = [z, head pose]; the pose stays as it is."""
    z, pose = states[:, :-POSE], states[:, -POSE:]
    if space == "z":
        return states
    decoder = FaceDecoder()
    parts = [decoder.weights(z[i : i + CHUNK]) for i in range(0, len(z), CHUNK)]
    if space == "vertices":
        face = measured_face(data)
        parts = [face.offsets(w).reshape(len(w), -1) for w in parts]
    return np.concatenate([np.concatenate(parts), pose], axis=1).astype(np.float32)


class SpaceLips(LipReader):
    """The lip term of :class:`LipReader` for states of any space.

    Args:
        space: of the states. mean, std: (D,) their statistics. data: folder with the ICT rig.
    """

    def __init__(self, space: str, mean: Tensor, std: Tensor, data: Path) -> None:
        super().__init__(mean, std, len(mean) - POSE, lip_rig(data))
        self.space = space
        if space == "weights":
            self.mapping = nn.Identity()
        if space == "vertices":
            self.points = torch.from_numpy(measured_face(data).landmarks)

    def landmarks(self, states: Tensor) -> Tensor:
        """Offsets of the lip landmarks, (B, T, 60) mm, of standardised states (B, T, D)."""
        if self.space != "vertices":
            return super().landmarks(states)
        plain = states[..., : self.latent_dim] * self.std + self.mean
        return plain.unflatten(-1, (-1, 3))[..., self.points, :].flatten(-2)
