"""Training losses of the denoiser: equations 5 to 8 of Media2Face, over the frames that were noised."""

from __future__ import annotations

from torch import Tensor

from .config import DenoiserConfig


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, T, C) over the frames where mask (B, T) is 1."""
    return (values.mean(dim=-1) * mask).sum() / mask.sum().clamp(min=1.0)


def simple_loss(clean: Tensor, predicted: Tensor, mask: Tensor) -> Tensor:
    """Equation 5."""
    return masked_mean((clean - predicted) ** 2, mask)


def velocity_loss(clean: Tensor, predicted: Tensor, mask: Tensor) -> Tensor:
    """Equation 6: differences of neighbouring frames."""
    difference = (clean[:, 1:] - clean[:, :-1]) - (predicted[:, 1:] - predicted[:, :-1])
    return masked_mean(difference**2, mask[:, 1:])


def smooth_loss(predicted: Tensor, mask: Tensor) -> Tensor:
    """Equation 7 with the factor 2 that the paper's print lacks: second differences."""
    bend = predicted[:, 2:] + predicted[:, :-2] - 2.0 * predicted[:, 1:-1]
    return masked_mean(bend**2, mask[:, 2:])


def denoiser_loss(config: DenoiserConfig, clean: Tensor, predicted: Tensor, noised: Tensor) -> dict[str, Tensor]:
    """Equation 8.

    Args:
        config: its ``weight_*`` fields are the lambdas.
        clean: (B, T, D) true states, standardised.
        predicted: (B, T, D) the network's X_0. Frames that entered clean are read as true.
        noised: (B, T) 1 where the frame was noised, 0 where it was given.

    Returns:
        ``simple``, ``velocity``, ``smooth`` and their weighted sum ``total``, scalars.
    """
    joined = predicted * noised.unsqueeze(-1) + clean * (1.0 - noised.unsqueeze(-1))
    parts = {
        "simple": simple_loss(clean, predicted, noised),
        "velocity": velocity_loss(clean, joined, noised),
        "smooth": smooth_loss(joined, noised),
    }
    parts["total"] = (
        config.weight_simple * parts["simple"]
        + config.weight_velocity * parts["velocity"]
        + config.weight_smooth * parts["smooth"]
    )
    return parts
