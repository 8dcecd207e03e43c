"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024), Adam for everything else.

All singular values of an update become about equal, so that weak directions of a kernel learn as fast as strong ones:
fewer steps to the same loss, which counts where a step is dear.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration of the reference, which drives singular values into 0.7 to 1.2 within five rounds."""
_ROUNDS = 5
_SMALLEST = 16
_RMS = 0.2
"""Root mean square of a matrix's update in learning rates: about Adam's, so that one rate serves both."""


class Muon(torch.optim.Optimizer):
    """Steps on kernels and matrices by orthogonal momentum, on the rest by Adam with decoupled weight decay.

    Args:
        parameters: of the networks. Kernels (O, I, h, w) count as matrices (O, I h w).
        lr: learning rate of both. momentum: of the matrices, as Nesterov has it. betas, eps: Adam's.
        weight_decay: per step and learning rate.
        largest: matrices with more values than this are left to Adam, where the iteration costs more than it gains.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-8, weight_decay: float = 0.0, largest: int = 300_000,
    ) -> None:  # fmt: skip
        if lr <= 0 or not 0 <= momentum < 1:
            raise ValueError(f"expected lr > 0 and momentum in [0, 1), got {lr} and {momentum}")
        super().__init__(parameters, dict(lr=lr, momentum=momentum, betas=betas, eps=eps, weight_decay=weight_decay))
        self._largest = largest

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                rule = self._orthogonal if self._is_matrix(weight) else self._adam
                weight.add_(rule(weight.grad, state, group), alpha=-group["lr"])

    def _is_matrix(self, weight: Tensor) -> bool:
        return weight.dim() > 1 and weight.numel() <= self._largest and min(weight.flatten(1).shape) >= _SMALLEST

    def _orthogonal(self, gradient: Tensor, state: dict, group: dict) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)
        return (_RMS * max(ahead.shape) ** 0.5 * orthogonal(ahead)).view(gradient.shape)

    def _adam(self, gradient: Tensor, state: dict, group: dict) -> Tensor:
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        first, second = group["betas"]
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square(), 1 - second)
        mean, square = state["mean"] / (1 - first ** state["step"]), state["square"] / (1 - second ** state["step"])
        return mean / (square.sqrt() + group["eps"])


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix (m, n) with equal singular values, near 1."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-12)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
