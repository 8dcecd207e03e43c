"""What skin does where it touches: lips that close and press, lids that meet and slide over the eyeball.

None of it is linear in the weights, and all of it starts at a threshold, so that neither a basis nor an MLP finds it
easily. G_geo does it after its basis, in three steps whose readings and amounts are learned.
Shapes as in ``networks.py``; C numbers of a neutral as in ``person.py``; heights and gaps in cm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GNPFAConfig


class Lips(nn.Module):
    """Lips that the shared rig closes are closed on this face too; lips pressed into each other bulge forward.

    Three pairs of points on the inner lips are watched. ``closed`` is the gap of the shared rig up to which lips count
    as closed, ``span`` how much further they are free; ``press`` is the bulge per cm of overlap, ``most`` the overlap
    at which it saturates.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        texels = cfg.height * cfg.width
        self.points = nn.Parameter(torch.zeros(6, texels), requires_grad=False)
        self.seal = nn.Parameter(torch.zeros(3, texels), requires_grad=False)
        self.shared = nn.Linear(cfg.latent_dim, 3)
        self.rest = nn.Linear(cfg.identity_code + cfg.lengths, 6)
        self.shared_rest = nn.Parameter(torch.zeros(3))
        self.closed, self.span = nn.Parameter(torch.tensor(0.1)), nn.Parameter(torch.tensor(0.3))
        self.press, self.most = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, offsets: Tensor, z: Tensor, code: Tensor) -> Tensor:
        """offsets (B, 3, H, W), z (B, D), code (B or 1, C) -> offsets."""
        flat = offsets.flatten(2)
        heights = self.rest(code)
        rest = heights[:, :3] - heights[:, 3:]
        moved = F.linear(flat[:, 1], self.points)
        widening = moved[:, :3] - moved[:, 3:]
        shared = self.shared(z)
        free = ((shared - self.closed) / self.span).clamp(0.0, 1.0)
        closed = 1.0 - free * free * (3.0 - 2.0 * free)
        close = closed * (widening - (shared - self.shared_rest))
        overlap = (rest.clamp_max(0.0) - (rest + widening - close)).clamp_min(0.0)
        bulge = self.press * (self.most * torch.tanh(overlap / self.most))
        rise, forth = flat[:, 1] - close @ self.seal, flat[:, 2] + bulge @ self.seal.abs()
        return torch.stack([flat[:, 0], rise, forth], dim=1).unflatten(2, offsets.shape[-2:])


class Lids(nn.Module):
    """A blink gives way where the lids would cross; skin that would pass into the drawn eyeball is pushed out.

    The eyeball is a sphere with a bulge that follows the gaze. What lies within it at rest may stay as deep.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        texels, known = cfg.height * cfg.width, cfg.identity_code + cfg.lengths
        self.points = nn.Parameter(torch.zeros(2, texels), requires_grad=False)
        self.blinks = nn.Parameter(torch.zeros(2, 3 * texels), requires_grad=False)
        self.around = nn.Parameter(torch.zeros(2, texels), requires_grad=False)
        self.arms = nn.Parameter(torch.zeros(3, texels), requires_grad=False)
        self.gaps = nn.Linear(known, 2)
        self.centres = nn.Linear(known, 6)
        self.gaze = nn.Linear(cfg.latent_dim, 4)
        self.radius, self.cornea = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(0.0))
        self.narrow = nn.Parameter(torch.tensor(8.0))  # how fast the bulge falls off, per radian squared

    def forward(self, offsets: Tensor, neutral: Tensor, z: Tensor, code: Tensor) -> Tensor:
        """offsets (B, 3, H, W), neutral (B or 1, 3, H, W) cm, z (B, D), code (B or 1, C) -> offsets."""
        flat = offsets.flatten(2)
        crossed = (self.gaps(code) + F.linear(flat[:, 1], self.points)).clamp_max(0.0)
        flat = flat + (crossed @ self.blinks).unflatten(1, (3, -1))
        rest = self.arms + neutral.flatten(2) - (self.centres(code).unflatten(1, (3, 2)) @ self.around)
        yaw, pitch = self.gaze(z).unflatten(1, (2, 2)).unbind(1)
        level = torch.cos(pitch)
        gaze = torch.stack([torch.sin(yaw) * level, -torch.sin(pitch), torch.cos(yaw) * level], dim=1) @ self.around
        allowed = self._depth(rest, rest[:, 2])[0].clamp_min(0.0)
        arm = rest + flat
        depth, length = self._depth(arm, (arm * gaze).sum(dim=1))
        deep = (depth - allowed).clamp_min(0.0) * self.around.sum(dim=0)
        return (flat + (deep / length)[:, None] * arm).unflatten(2, offsets.shape[-2:])

    def _depth(self, arm: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        """How far points (B, 3, n) from the eye's centre lie under its surface, and their distance from it, (B, n).

        ``along`` (B, n): their part along the gaze.
        """
        length = (arm.square().sum(dim=1) + 1e-6).sqrt()
        u = 1.0 - along / length
        square = u * (2.0 + u * (1.0 / 3.0 + u * (4.0 / 45.0)))  # of the angle to the gaze
        return self.radius + self.cornea * torch.exp(-square * self.narrow) - length, length
