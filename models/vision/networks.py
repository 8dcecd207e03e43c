"""Networks of the vision encoders (Media2Face, Zhao et al. 2024, section 3.2); see README.md for the differences.

Shapes: B batch, S side of the crop, pictures (B, 3, S, S) with values in [0, 1], latent D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import EncoderConfig, VisionConfig

POSE_OUTPUTS = 10
"""Rotation as two columns (6), the face's offset in the crop (right, down) in sides, its log size, face logit."""
HEAT = 48
"""Channels that the heat maps of the landmarks are read from."""
STRIDE = 8
"""Pixels of the locator's input to one of its cells."""


class _Conv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Conv(channels, channels), _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class ImageEncoder(nn.Module):
    """A picture to ``outputs`` numbers: the architecture that E_exp and E_pose share, read out without pooling.

    With ``points``, the face's landmarks are found on the way as the centres of heat maps, and their places are read
    together with the features: what a mouth does is then a matter of a few coordinates.
    """

    def __init__(self, cfg: EncoderConfig, outputs: int) -> None:
        super().__init__()
        self.size, self.points = cfg.size, cfg.points
        layers: list[nn.Module] = []
        self._ends: list[int] = []
        before = 3
        for channels, blocks in zip(cfg.channels, cfg.blocks, strict=True):
            layers += [_Conv(before, channels, 2), nn.ReLU()]
            layers += [_Block(channels) for _ in range(blocks)]
            before = channels
            self._ends.append(len(layers) - 1)
        self.body = nn.Sequential(*layers)
        flat = before * (cfg.size // 2 ** len(cfg.channels)) ** 2
        self.first = nn.Sequential(nn.Linear(flat, cfg.hidden[0]), nn.ReLU()) if cfg.hidden else nn.Identity()
        widths = [cfg.hidden[0] if cfg.hidden else flat, *cfg.hidden[1:]]
        widths[0] += 2 * cfg.points
        head: list[nn.Module] = []
        for a, b in zip(widths, widths[1:], strict=False):
            head += [nn.Linear(a, b), nn.ReLU()]
        self.head = nn.Sequential(*head, nn.Linear(widths[-1], outputs))
        if cfg.points:
            self.fine, self.coarse = (nn.Conv2d(cfg.channels[k], HEAT, 1) for k in (1, 2))
            self.refine = nn.Sequential(*(_Block(HEAT) for _ in range(cfg.refine)))
            self.heat = nn.Conv2d(HEAT, cfg.points, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, outputs)."""
        return self.with_points(image)[0]

    def with_points(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, and where the landmarks are: (B, points, 2) right and down of the middle, in sides."""
        x = image * 4.0 - 2.0
        levels = []
        for index, layer in enumerate(self.body):
            x = layer(x)
            if index in self._ends:
                levels.append(x)
        features = self.first(x.flatten(1))
        if not self.points:
            return self.head(features), features[:, None, :2][:, :0]  # no landmarks
        wide = F.interpolate(self.coarse(levels[2]), scale_factor=2.0, mode="nearest")
        spots = _centres(4.0 * self.heat(self.refine(F.relu(self.fine(levels[1]) + wide))).float())
        return self.head(torch.cat([features.float(), 4.0 * spots.flatten(1)], 1)), spots


def _centres(heat: Tensor) -> Tensor:
    """Centres of mass (B, K, 2) of softmax heat maps (B, K, h, w), from -0.5 to 0.5 across the map."""
    rows, columns = heat.shape[2:]
    share = heat.flatten(2).softmax(2).unflatten(2, (rows, columns))
    right = (torch.arange(columns, dtype=heat.dtype) + 0.5) / columns - 0.5
    down = (torch.arange(rows, dtype=heat.dtype) + 0.5) / rows - 0.5
    return torch.stack([(share.sum(2) * right).sum(2), (share.sum(3) * down).sum(2)], 2)


class Locator(nn.Module):
    """Where faces are in a whole picture: for every cell of :data:`STRIDE` pixels a logit, and the square's middle
    relative to the cell's and the logarithm of its side, both in units of 8 cells."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        a, b, c = channels
        self.body = nn.Sequential(
            _Conv(3, a, 2), nn.ReLU(), _Conv(a, b, 2), nn.ReLU(), _Conv(b, c, 2), nn.ReLU(),
            *(layer for rate in (1, 2, 4, 2) for layer in (
                nn.Conv2d(c, c, 3, padding=rate, dilation=rate, bias=False), nn.BatchNorm2d(c), nn.ReLU())),
        )  # fmt: skip
        self.head = nn.Conv2d(c, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], sides multiples of 8 -> (B, 4, H / 8, W / 8): logit, right, down, log side."""
        return self.head(self.body(image * 4.0 - 2.0).float())


class Vision(nn.Module):
    """The three networks together: ``expression`` E_exp, ``pose`` E_pose, ``locator``."""

    def __init__(self, cfg: VisionConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.expression = ImageEncoder(cfg.expression, cfg.latent_dim)
        self.pose = ImageEncoder(cfg.pose, POSE_OUTPUTS)
        self.locator = Locator(cfg.locator_channels)


def rotation_of(columns: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of two columns (B, 6), made orthonormal (Zhou et al. 2019)."""
    first, second = columns[:, :3], columns[:, 3:]
    x = F.normalize(first, dim=1, eps=1e-6)
    y = F.normalize(second - (x * second).sum(1, keepdim=True) * x, dim=1, eps=1e-6)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)
