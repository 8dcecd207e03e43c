"""Networks of GNPFA (Media2Face, Zhao et al. 2024, section 3.1); see README.md for the differences.

Shapes: B batch, D latent, K = 52 blendshapes, maps (B, 3, H, W) in centimetres on the atlas of
``data.geometry_maps``. An expression is an offset map; a neutral is given as its difference from the mean identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GNPFAConfig

NEUTRAL_SCALE_CM = 0.5
"""Neutrals differ from the mean identity by about this much; inputs are divided by it."""


class MapEncoder(nn.Module):
    """Strided convolutions; returns the features of every level, finest first."""

    def __init__(self, in_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = (in_channels, *channels)
        self.levels = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            x = F.silu(level(x))
            features.append(x)
        return features


class IdentityCode(nn.Module):
    """A neutral, averaged over 4 x 4 texels, as ``identity_code`` numbers (B, C); people's principal axes at start."""

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.read = nn.Linear(3 * (cfg.height // 4) * (cfg.width // 4), cfg.identity_code)

    def forward(self, neutral: Tensor) -> Tensor:
        return self.read(F.avg_pool2d(neutral, 4).flatten(1))

    @torch.no_grad()
    def start(self, neutrals: Tensor) -> None:
        """From neutrals (n, 3, H, W), divided by :data:`NEUTRAL_SCALE_CM`: whitened principal components."""
        flat = F.avg_pool2d(neutrals, 4).flatten(1)
        middle = flat.mean(0)
        _, size, axes = torch.linalg.svd(flat - middle, full_matrices=False)
        kept = min(len(self.read.weight), len(neutrals) - 1, len(axes))
        self.read.weight.zero_()
        self.read.weight[:kept] = axes[:kept] * (len(neutrals) ** 0.5 / size[:kept, None].clamp_min(1e-3 * size[0]))
        self.read.bias.copy_(-self.read.weight @ middle)


class IdentityMix(nn.Module):
    """How a person shows expressions: x + U(g(identity) * (V x + b)).

    Each of the ``gates`` reads one direction (a weight of a shape, at start) and writes another (the same shape, or one
    that comes along) as strongly as the person does.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.gain = nn.Sequential(nn.Linear(cfg.identity_code, 192), nn.SiLU(), nn.Linear(192, cfg.gates))
        self.reads = nn.Linear(cfg.latent_dim, cfg.gates)
        self.writes = nn.Linear(cfg.gates, cfg.latent_dim, bias=False)
        nn.init.zeros_(self.gain[-1].weight)
        nn.init.zeros_(self.gain[-1].bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x (B, D), code (B or 1, C) -> (B, D)."""
        return x + self.writes(self.gain(code) * self.reads(x))

    @torch.no_grad()
    def start(self, to_latent: Mapping, to_weights: Mapping, company: Sequence[tuple[int, int]]) -> None:
        """Gate k reads shape k and writes shape k; further gates read and write the pairs of ``company``."""
        shapes = to_latent.affine.in_features
        pairs = ([(k, k) for k in range(shapes)] + list(company))[: self.reads.out_features]
        for gate, (read, write) in enumerate(pairs):
            self.reads.weight[gate] = to_weights.affine.weight[read]
            self.reads.bias[gate] = to_weights.affine.bias[read]
            self.writes.weight[:, gate] = to_latent.affine.weight[:, write]


class GeometryEncoder(nn.Module):
    """E_geo: an expression (and its neutral) to mean and log variance of z, each (B, D)."""

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.sees_neutral = cfg.encoder_sees_neutral
        self.body = MapEncoder(6 if self.sees_neutral else 3, cfg.encoder_channels)
        rows, columns = cfg.base
        self.head = nn.Linear(cfg.encoder_channels[-1] * rows * columns, 2 * cfg.latent_dim)
        self.basis = None
        if cfg.linear_basis:
            nn.init.normal_(self.head.weight, std=1e-3)
            self.latent_dim = cfg.latent_dim
            readings = cfg.latent_dim + cfg.bent // 2
            self.basis = nn.Linear(3 * cfg.height * cfg.width, readings)
            self.identity = IdentityCode(cfg)
            self.mix = IdentityMix(cfg)
            self.bend = _bend(readings + cfg.identity_code, cfg.latent_dim)

    def forward(self, offset: Tensor, neutral: Tensor) -> tuple[Tensor, Tensor]:
        neutral = neutral / NEUTRAL_SCALE_CM
        if self.sees_neutral:
            x = torch.cat([offset, neutral.expand_as(offset)], dim=1)
        else:
            x = offset + neutral * NEUTRAL_SCALE_CM
        mean, log_variance = self.head(self.body(x)[-1].flatten(1)).chunk(2, dim=1)
        if self.basis is not None:
            read, code = self.basis(offset.flatten(1)), self.identity(neutral)
            bent = self.bend(torch.cat([read, code.expand(read.shape[0], -1)], dim=1))
            mean = mean + self.mix(read[:, : self.latent_dim], code) + bent
        return mean, log_variance.clamp(-10.0, 4.0)


class GeometryGenerator(nn.Module):
    """G_geo: a neutral and z to the expression's offset map, a UNet whose left arm reads the neutral alone.

    The left arm's features enter the right arm through 1 x 1 convolutions and a sum. They depend on the identity only,
    so one neutral (batch 1) serves any number of frames, and its cost is paid once per call.

    With ``linear_basis`` the UNet adds to a map that is linear in coordinates which are not: z mixed by the person
    (:class:`IdentityMix`) and ``bent`` further ones made from z and the person by an MLP; the person's build turns and
    shears its vectors, texel by texel.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.cfg = cfg
        channels = cfg.generator_channels
        self.neutral = MapEncoder(3, channels)
        rows, columns = cfg.base
        self.start = nn.Linear(cfg.latent_dim, channels[-1] * rows * columns)
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)
        self.ups = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.modulation = nn.Linear(cfg.latent_dim, 2 * sum(channels))
        self.head = nn.Conv2d(channels[0], 12, 3, padding=1)
        for part in (self.head, self.modulation):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        self.basis = None
        if cfg.linear_basis:
            self.basis = nn.Linear(cfg.latent_dim + cfg.bent, 3 * cfg.height * cfg.width)
            self.identity = IdentityCode(cfg)
            self.mix = IdentityMix(cfg)
            self.bend = _bend(cfg.latent_dim + cfg.identity_code, cfg.bent)
            self.turn = nn.Sequential(
                nn.Linear(cfg.identity_code, cfg.turns), nn.Linear(cfg.turns, 9 * (cfg.height // 2) * (cfg.width // 2))
            )
            nn.init.zeros_(self.turn[-1].weight)
            nn.init.zeros_(self.turn[-1].bias)

    def forward(self, neutral: Tensor, z: Tensor, details: bool = True) -> Tensor:
        """neutral (B or 1, 3, H, W), z (B, D) -> offsets (B, 3, H, W) cm; without ``details`` the UNet is left out."""
        neutral = neutral / NEUTRAL_SCALE_CM
        if self.basis is None:
            return self._unet(neutral, z)
        made = self._bent_basis(neutral, z)
        return made + self._unet(neutral, z) if details else made

    def _unet(self, neutral: Tensor, z: Tensor) -> Tensor:
        channels = self.cfg.generator_channels
        left = [skip(f) for skip, f in zip(self.skips, self.neutral(neutral), strict=True)]
        turns = self.modulation(z)[:, :, None, None].split([2 * c for c in channels], dim=1)
        x = self.start(z).unflatten(1, (channels[-1], *self.cfg.base))
        for level in reversed(range(len(channels))):
            if level < len(channels) - 1:
                x = self.ups[len(channels) - 2 - level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            scale, shift = turns[level].chunk(2, dim=1)
            x = F.silu((x + left[level]) * (1 + scale) + shift)
        return F.pixel_shuffle(self.head(x), 2)

    def _bent_basis(self, neutral: Tensor, z: Tensor) -> Tensor:
        rows, columns = self.cfg.height, self.cfg.width
        code = self.identity(neutral)
        own = self.mix(z, code)
        bent = self.bend(torch.cat([own, code.expand(z.shape[0], -1)], dim=1))
        made = self.basis(torch.cat([own, bent], dim=1)).unflatten(1, (3, rows, columns))
        turn = self.turn(code).unflatten(1, (9, rows // 2, columns // 2))
        turn = F.interpolate(turn, scale_factor=2.0, mode="nearest").unflatten(1, (3, 3))
        return made + (turn * made[:, None]).sum(dim=2)


def _bend(inputs: int, outputs: int, width: int = 192) -> nn.Sequential:
    """An MLP that starts at zero."""
    net = nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


class Mapping(nn.Module):
    """M or M': an affine map and a residual MLP that starts at zero."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, outputs)
        self.residual = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))
        nn.init.zeros_(self.residual[-1].weight)
        nn.init.zeros_(self.residual[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x) + self.residual(x)


class GNPFA(nn.Module):
    """The four networks together: ``encoder`` E_geo, ``generator`` G_geo, ``to_latent`` M, ``to_weights`` M'."""

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = GeometryEncoder(cfg)
        self.generator = GeometryGenerator(cfg)
        self.to_latent = Mapping(cfg.shapes, cfg.latent_dim, cfg.mapping_width)
        self.to_weights = Mapping(cfg.latent_dim, cfg.shapes, cfg.mapping_width)

    @torch.no_grad()
    def start_mappings(self, spread: Tensor) -> None:
        """Start M from a matrix (D, K), see ``losses.latent_axes``, and M' from its inverse."""
        self.to_latent.affine.weight.copy_(spread)
        self.to_latent.affine.bias.zero_()
        self.to_weights.affine.weight.copy_(torch.linalg.pinv(spread))
        self.to_weights.affine.bias.zero_()

    @torch.no_grad()
    def start_basis(self, weights: Tensor, offsets: Tensor, company: Sequence[tuple[int, int]] = ()) -> None:
        """Start the linear parts of E_geo and G_geo: the best affine maps between M's z and the rig's offsets.

        Args:
            weights: (n, K) realistic faces.
            offsets: (K, 3, H, W) offset map of each shape on the mean identity, cm.
            company: shapes that recruit others, for the gates of :class:`IdentityMix`.
        """
        z = self.to_latent(weights)
        one = torch.ones(len(z), 1)
        flat = offsets.flatten(1)
        size = self.cfg.latent_dim
        back = torch.linalg.lstsq(torch.cat([z, one], 1), weights, driver="gelsd").solution
        self.generator.basis.weight[:, :size] = (back[:-1] @ flat).T
        self.generator.basis.bias.copy_(back[-1] @ flat)
        gram = flat @ flat.T
        read = torch.linalg.solve(gram + 1e-6 * torch.linalg.eigvalsh(gram)[-1] * torch.eye(len(gram)), flat)
        forth = torch.linalg.lstsq(torch.cat([weights, one], 1), z, driver="gelsd").solution
        self.encoder.basis.weight[:size] = forth[:-1].T @ read
        self.encoder.basis.bias[:size] = forth[-1]
        for part in (self.encoder, self.generator):
            part.mix.start(self.to_latent, self.to_weights, company)

    @torch.no_grad()
    def start_people(self, neutrals: Tensor, weights: Tensor, offsets: Tensor, linear: Tensor) -> None:
        """Start what depends on people: identity codes, and the bent coordinates' maps from what the rig leaves over.

        Args:
            neutrals: (p, 3, H, W) cm.
            weights, offsets: (n, K) and (n, 3, H, W) of many people's faces; ``linear`` (K, 3, H, W) as above.
        """
        for part in (self.encoder, self.generator):
            part.identity.start(neutrals / NEUTRAL_SCALE_CM)
        flat = linear.flatten(1)
        left = offsets.flatten(1) - weights @ flat
        basis = torch.linalg.qr(flat.T)[0]
        left -= (left @ basis) @ basis.T
        _, size, axes = torch.linalg.svd(left, full_matrices=False)
        scale = size / len(left) ** 0.5
        count = self.cfg.latent_dim
        self.generator.basis.weight[:, count:] = (axes[: self.cfg.bent] * scale[: self.cfg.bent, None]).T
        extra = self.cfg.bent // 2
        self.encoder.basis.weight[count:] = axes[:extra] / scale[:extra, None].clamp_min(1e-3)
        self.encoder.basis.bias[count:] = 0.0
