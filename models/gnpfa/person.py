"""What G_geo and E_geo know of a person: the neutral in numbers, and how it decides the way expressions are shown.

Everything here depends on the neutral alone or is linear in z for one neutral, so a clip pays for it once.
Shapes as in ``networks.py``; C = ``identity_code`` + ``lengths`` numbers of a neutral.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GNPFAConfig

NEUTRAL_SCALE_CM = 0.5
"""Neutrals differ from the mean identity by about this much; inputs are divided by it."""


class Amounts(nn.Module):
    """Numbers (B, outputs) that a person's code (B, C) decides: a linear map and an MLP; starts at zero."""

    def __init__(self, cfg: GNPFAConfig, outputs: int, width: int = 192) -> None:
        super().__init__()
        inputs = cfg.identity_code + cfg.lengths
        self.linear = nn.Linear(inputs, outputs)
        self.hidden = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.bent = nn.Linear(width, outputs, bias=False)
        for parameter in (self.linear.weight, self.linear.bias, self.bent.weight):
            nn.init.zeros_(parameter)

    def forward(self, code: Tensor) -> Tensor:
        return self.linear(code) + self.bent(self.hidden(code))


class IdentityCode(nn.Module):
    """A neutral as numbers (B, C): principal axes of people, averaged over 4 x 4 texels, and lengths in the face.

    A length is the norm of a vector that is read from the axes; its logarithm enters, relative to what is usual.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.read = nn.Linear(3 * (cfg.height // 4) * (cfg.width // 4), cfg.identity_code)
        self.spans = nn.Linear(cfg.identity_code, 3 * cfg.lengths)
        self.usual = nn.Parameter(torch.zeros(cfg.lengths), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(cfg.lengths), requires_grad=False)

    def forward(self, neutral: Tensor) -> Tensor:
        """neutral (B, 3, H, W), divided by :data:`NEUTRAL_SCALE_CM` -> (B, C)."""
        return self.of_pooled(F.avg_pool2d(neutral, 4))

    def of_pooled(self, neutral: Tensor) -> Tensor:
        """The same of a neutral that is averaged over 4 x 4 texels already."""
        axes = self.read(neutral.flatten(1))
        return torch.cat([axes, (self.logarithms(axes) - self.usual) / self.spread], dim=1)

    def logarithms(self, axes: Tensor) -> Tensor:
        """Of the lengths in cm, (B, lengths)."""
        spans = self.spans(axes).unflatten(1, (-1, 3))
        return 0.5 * (spans.square().sum(dim=2) + 1e-4).log()

    @torch.no_grad()
    def start(self, neutrals: Tensor, ends: Tensor) -> None:
        """From people: whitened principal components, and the lengths that are to be known.

        Args:
            neutrals: (n, 3, H / 4, W / 4) of different people, averaged, divided by :data:`NEUTRAL_SCALE_CM`.
            ends: (n, lengths, 3) cm, from one end to the other of each length.
        """
        flat = neutrals.flatten(1)
        middle = flat.mean(0)
        _, size, axes = torch.linalg.svd(flat - middle, full_matrices=False)
        kept = min(len(self.read.weight), len(neutrals) - 1, len(axes))
        self.read.weight.zero_()
        self.read.weight[:kept] = axes[:kept] * (len(neutrals) ** 0.5 / size[:kept, None].clamp_min(1e-3 * size[0]))
        self.read.bias.copy_(-self.read.weight @ middle)
        code = self.read(flat)
        fit_linear(self.spans, code, ends[:, : len(self.usual)].flatten(1))
        logarithms = self.logarithms(code)
        self.usual.copy_(logarithms.mean(0))
        self.spread.copy_(logarithms.std(0).clamp_min(1e-3))


class IdentityMix(nn.Module):
    """How a person shows expressions: x + U(g(identity) * (V x + b)).

    Each of the ``gates`` reads one direction (a weight of a shape, at start) and writes another (the same shape, or one
    that comes along) as strongly as the person does.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.gain = Amounts(cfg, cfg.gates)
        self.reads = nn.Linear(cfg.latent_dim, cfg.gates)
        self.writes = nn.Linear(cfg.gates, cfg.latent_dim, bias=False)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x (B, D), code (B or 1, C) -> (B, D)."""
        return x + self.writes(self.gain(code) * self.reads(x))

    @torch.no_grad()
    def start(self, forth: Tensor, back: Tensor, rest: Tensor, pairs: list[tuple[int, int]]) -> None:
        """Gate k reads shape ``pairs[k][0]`` and writes shape ``pairs[k][1]``.

        Args:
            forth: (K, D) of M, linear; ``back`` (D, K) its inverse and ``rest`` (K,): weights = z @ back + rest.
        """
        self.writes.weight.zero_()
        for gate, (read, write) in enumerate(pairs[: self.reads.out_features]):
            self.reads.weight[gate] = back[:, read]
            self.reads.bias[gate] = rest[read]
            self.writes.weight[:, gate] = forth[write]


class Pairs(nn.Module):
    """What two shapes do together and neither does alone: two readings of z each, multiplied, as coordinates."""

    def __init__(self, cfg: GNPFAConfig, folds: int) -> None:
        super().__init__()
        self.left = nn.Linear(cfg.latent_dim, cfg.pairs)
        self.right = nn.Linear(cfg.latent_dim, cfg.pairs)
        self.writes = nn.Linear(cfg.pairs, cfg.latent_dim + folds, bias=False)
        nn.init.zeros_(self.writes.weight)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, D) -> (B, D + folds): what is added to the coordinates, and further ones."""
        return self.writes(self.left(z) * self.right(z))


class Turning(nn.Module):
    """The person's build turns and shears vectors, place by place: patterns over the map, each times a matrix.

    Args:
        cfg: sizes.
        texels: the patterns are for maps averaged over so many texels each way.
    """

    def __init__(self, cfg: GNPFAConfig, texels: int = 1) -> None:
        super().__init__()
        self.size = cfg.height // texels, cfg.width // texels
        self.amount = Amounts(cfg, 9 * cfg.turns)
        self.patterns = nn.Parameter(torch.zeros(cfg.turns, self.size[0] * self.size[1]))

    def forward(self, code: Tensor) -> Tensor:
        """code (B, C) -> (B, 9, H, W), matrices less the identity, row after row."""
        return (self.amount(code).unflatten(1, (9, -1)) @ self.patterns).unflatten(2, self.size)


def turned(vectors: Tensor, turn: Tensor) -> Tensor:
    """Vectors (B, 3, H, W) after matrices (B or 1, 9, H, W), see :class:`Turning`."""
    return vectors + (turn.unflatten(1, (3, 3)) * vectors[:, None]).sum(dim=2)


@torch.no_grad()
def fit_linear(layer: nn.Linear, x: Tensor, y: Tensor, ridge: float = 1e-6) -> None:
    """Set ``layer`` to the least-squares map from x (n, inputs) to y (n, outputs)."""
    x, y = x.double(), y.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    square = centred.T @ centred
    square += ridge * square.diagonal().mean().clamp_min(1e-12) * torch.eye(len(square), dtype=x.dtype)
    weight = torch.linalg.solve(square, centred.T @ (y - y_mean)).T
    layer.weight.copy_(weight)
    layer.bias.copy_(y_mean - weight @ x_mean)
