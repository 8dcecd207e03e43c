"""The drawn head as a differentiable function of offset maps and weights: :meth:`RigAsset.pose` in torch.

Gums and teeth follow the jaw's weights as they do on the mean identity (its ``jaw_gain`` of 1).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.arkit import ARKIT_INDEX, indices
from ...runtime.eyes import TURN_RAD
from ...runtime.rig_asset import RigAsset

_UPPER_LIP, _LOWER_LIP = [61, 62, 63], [67, 66, 65]


class HeadMesh(nn.Module):
    """Vertices of the drawn head, metres in REP-103 axes, gradients through maps and weights.

    Args:
        rig: the run-time rig.
    """

    def __init__(self, rig: RigAsset) -> None:
        super().__init__()
        self.parts = rig.parts
        arrays = {
            "rest": rig.neutral, "moving": rig.moving, "texels": rig.texels, "shares": rig.texel_shares,
            "seal_vertices": rig.seal_vertices, "seal": rig.seal_fields, "jaw_vertices": rig.jaw_vertices,
            "jaw": rig.jaw_deltas, "upper": rig.landmarks[_UPPER_LIP], "lower": rig.landmarks[_LOWER_LIP],
            "eyes": rig.eye_centres,
        }  # fmt: skip
        for name, array in arrays.items():
            array = np.asarray(array)
            whole = np.issubdtype(array.dtype, np.integer)
            self.register_buffer(name, torch.from_numpy(np.array(array, np.int64 if whole else np.float32)))
        self._jaw_rows = list(indices(rig.jaw_shapes))

    def forward(self, offsets: Tensor, weights: Tensor, neutral: Tensor) -> Tensor:
        """offsets (B, 3, H, W) cm in ICT axes, weights (B, 52), neutral (B, V, 3) m -> vertices (B, V, 3) m."""
        rows = 0.01 * offsets.flatten(2)[:, [2, 0, 1]]
        moved = (rows[:, :, self.texels.flatten()].unflatten(2, self.texels.shape) * self.shares).sum(3)
        out = neutral.index_add(1, self.moving, moved.transpose(1, 2))
        at_rest = neutral[:, self.upper, 2] - neutral[:, self.lower, 2]
        overlap = (at_rest.clamp_max(0.0) - out[:, self.upper, 2] + out[:, self.lower, 2]).clamp_min(0.0)
        lift = overlap @ self.seal
        out = out.index_add(
            1, self.seal_vertices, torch.stack([torch.zeros_like(lift), torch.zeros_like(lift), lift], 2)
        )
        out = out.index_add(1, self.jaw_vertices, torch.einsum("bs,svc->bvc", weights[:, self._jaw_rows], self.jaw))
        for side, centre in zip(("left", "right"), self.eyes, strict=True):
            first, last = self.parts[f"eye_{side}"]
            ball = neutral[:, first:last]
            middle = _eye_middle(ball, self.rest[first:last], centre)
            turned = self._turned(ball - middle[:, None], weights, side) + middle[:, None]
            out = torch.cat([out[:, :first], turned, out[:, last:]], dim=1)
        return out

    def _turned(self, points: Tensor, weights: Tensor, side: str) -> Tensor:
        """Points (B, n, 3) about an eye's centre turned by the eyeLook weights, see ``runtime/eyes.py``."""
        look = {k: t * weights[:, ARKIT_INDEX[f"eyeLook{k}{side.capitalize()}"]] for k, t in TURN_RAD.items()}
        yaw = (look["Out"] - look["In"]) * (1.0 if side == "left" else -1.0)
        pitch = look["Down"] - look["Up"]
        cy, sy, cp, sp = (f(a)[:, None] for a in (yaw, pitch) for f in (torch.cos, torch.sin))
        x, y, z = points.unbind(2)
        x, z = cp * x + sp * z, cp * z - sp * x
        return torch.stack([cy * x - sy * y, sy * x + cy * y, z], dim=2)


def _eye_middle(ball: Tensor, reference: Tensor, centre: Tensor) -> Tensor:
    """Centres (B, 3) of eyeballs (B, n, 3) that are ``reference`` (n, 3), whose centre is known, moved and scaled."""
    middle, before = ball.mean(dim=1), reference.mean(dim=0)
    growth = ((ball - middle[:, None]).square().sum((1, 2)) / (reference - before).square().sum()).sqrt()
    return middle - growth[:, None] * (before - centre)
