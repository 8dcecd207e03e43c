"""The state spaces of the baselines: cached windows in another space, and the lips of states predicted there.

* ``weights``: the 52 linear blendshape weights that the shipped M' reads from z (the paper's "w/o GNPFA");
* ``vertices``: displacements from rest, in mm, of the points of ``evaluation.measured_face`` (x, y, z of each in turn):
  raw geometry without a face space, as FaceDiffuser has it, on 400 vertices of lips and upper face.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media2face.data.rig import INNER_LIP_PAIRS
from media2face.evaluation.lips import CLOSED_MM, lip_rig
from media2face.evaluation.measured_face import measured_face
from media2face.models.baselines.config import BaselineConfig
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.decoder import FaceDecoder
from media2face.training.lip_loss import SOFT_MM, LipReader
from media2face.training.motion_windows import SHARES, Windows

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


def affine_to(space: str, latent_dim: int, data: Path) -> tuple[Tensor, Tensor]:
    """Matrix (D', D) and offset (D',) from states [z, pose] to states of ``space``, to first order of M'."""
    matrix, offset = torch.eye(latent_dim), torch.zeros(latent_dim)
    if space != "z":
        affine = shipped_mapping().affine
        matrix, offset = affine.weight.detach(), affine.bias.detach()
    if space == "vertices":
        deltas = torch.from_numpy(measured_face(data).deltas).flatten(1).T
        matrix, offset = deltas @ matrix, deltas @ offset
    return torch.block_diag(matrix, torch.eye(POSE)), torch.cat([offset, torch.zeros(POSE)])


class SpaceWindows(Windows):
    """The cache's windows with their states in another space, and of only a share of the training clips.

    Which clips belong to a share is a matter of their names: a larger share holds those of a smaller one.

    Args:
        cache, split: see :class:`Windows`.
        baseline: which space and share.
        data: folder with the ICT rig.
    """

    def __init__(self, cache: Path, split: str, baseline: BaselineConfig, data: Path) -> None:
        super().__init__(cache, split, SHARES)
        if split == "train" and baseline.share < 1.0:
            place = np.array([zlib.crc32(c["id"].encode()) / 2**32 for c in self.clips])
            kept = place < baseline.share
            self.clips = [c for c, k in zip(self.clips, kept, strict=True) if k]
            chances = np.diff(self.chances, prepend=0.0)[kept]
            self.chances = np.cumsum(chances) / chances.sum()
        self.states = states_in(baseline.space, self.states, data)
        self.rest = states_in(baseline.space, self.rest[None], data)[0]


class SpaceLips(LipReader):
    """The lip terms of :class:`LipReader` for states of any space.

    Args:
        space: of the states. mean, std: (D,) their statistics. data: folder with the ICT rig.
    """

    def __init__(self, space: str, mean: Tensor, std: Tensor, data: Path) -> None:
        super().__init__(mean, std, len(mean) - POSE, lip_rig(data))
        self.space = space
        self.points = torch.from_numpy(measured_face(data).landmarks) if space == "vertices" else None

    def weights(self, states: Tensor) -> Tensor:
        """Blendshape weights (B, T, 52) in [0, 1] of standardised states (B, T, D)."""
        if self.space == "weights":
            return (states[..., : self.latent_dim] * self.std + self.mean).clamp(0.0, 1.0)
        return super().weights(states)

    def errors(self, clean: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`LipReader.errors`; of vertices without any weights between."""
        if self.space != "vertices":
            return super().errors(clean, predicted)
        true, own = self._marks(clean), self._marks(predicted)
        closed = [torch.sigmoid((CLOSED_MM - self._gap(m)) / SOFT_MM) for m in (true, own)]
        return (((true - own) / self.unit_mm) ** 2).flatten(-2), ((closed[0] - closed[1]) ** 2).unsqueeze(-1)

    def _marks(self, states: Tensor) -> Tensor:
        plain = states[..., : self.latent_dim] * self.std + self.mean
        return plain.unflatten(-1, (-1, 3))[..., self.points, :]

    @staticmethod
    def _gap(marks: Tensor) -> Tensor:
        """Inner-lip gap (B, T) above rest of lip landmark displacements (B, T, 20, 3)."""
        return torch.stack([marks[..., a - 48, 1] - marks[..., b - 48, 1] for a, b in INNER_LIP_PAIRS]).mean(dim=0)
