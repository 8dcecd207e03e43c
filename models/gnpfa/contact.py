"""Lips that meet, inside the loss: the rule of ``data/lip_seal.py`` on maps, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LipContact(nn.Module):
    """Parts lips that pass through each other, as the engine does after G_geo (``runtime/rig_asset.py``).

    Args:
        lips: (6, H W) heights of the inner lips read from a map, the three upper ones first.
        seal: (3, H, W) vertical motion per cm of overlap at each pair.
    """

    def __init__(self, lips: Tensor, seal: Tensor) -> None:
        super().__init__()
        self.register_buffer("lips", lips)
        self.register_buffer("seal", seal)

    def forward(self, offsets: Tensor, heights: Tensor) -> Tensor:
        """offsets (B, 3, H, W) cm in ICT axes, heights (B, 6) of the inner lips at rest -> offsets with closed lips."""
        moved = heights + offsets[:, 1].flatten(1) @ self.lips.T
        gap = moved[:, :3] - moved[:, 3:]
        floor = (heights[:, :3] - heights[:, 3:]).clamp_max(0.0)
        overlap = (floor - gap).clamp_min(0.0)
        lifted = offsets[:, 1] + torch.einsum("bp,phw->bhw", overlap, self.seal)
        return torch.stack([offsets[:, 0], lifted, offsets[:, 2]], dim=1)
