"""Losses of GNPFA (Media2Face, equations 1 and 2) and the axes its latent space starts from."""

from __future__ import annotations

import torch
from torch import Tensor


def reconstruction(made: Tensor, true: Tensor, texel_weight: Tensor) -> Tensor:
    """Mean squared error of offset maps (B, 3, H, W) in cm^2, texels weighted by (H, W) with mean 1."""
    return ((made - true) ** 2 * texel_weight).mean()


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, variance) from N(0, 1), per latent dimension."""
    return 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).mean()


def latent_axes(metric: Tensor, covariance: Tensor, latent_dim: int, evenness: float = 0.5, seed: int = 0) -> Tensor:
    """A linear M under which distances in z mean distances on the face, and every dimension has unit variance.

    Weights are measured by how far they move the face (``metric``), turned to the principal axes of realistic
    expressions, evened out (0 keeps geometric distances, 1 whitens fully), turned at random so that all
    ``latent_dim`` coordinates share the load, and scaled to a mean variance of 1.

    Args:
        metric: (K, K) inner products of the shapes' motions.
        covariance: (K, K) of realistic weights.

    Returns:
        (latent_dim, K).
    """
    values, vectors = torch.linalg.eigh(metric)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    spread, axes = torch.linalg.eigh(root @ covariance @ root)
    scaled = spread.clamp_min(spread.max() * 1e-6) ** (-evenness / 2)
    matrix = torch.diag(scaled) @ axes.T @ root
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(latent_dim, len(matrix), generator=generator, dtype=metric.dtype))[0]
    matrix = turn @ matrix
    variance = torch.diagonal(matrix @ covariance @ matrix.T).mean()
    return matrix / variance.sqrt()
