"""Resumable training state without pickle: one safetensors file for network, average and optimiser."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn


class Average:
    """Exponential moving average of a network's parameters; ``network`` is the averaged copy.

    The effective decay grows with the step, so that the first thousand steps do not remember the initialisation.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        for averaged, current in zip(self.network.parameters(), network.parameters(), strict=True):
            averaged.lerp_(current, 1.0 - decay)


def save(path: Path, network: nn.Module, average: Average, optimizer: torch.optim.Optimizer, **progress: float) -> None:
    """Write everything needed to go on, atomically; ``progress`` are plain numbers (step, seconds)."""
    tensors = {f"network.{k}": v.detach().contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v.detach().contiguous() for k, v in average.network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v).clone().contiguous() for k, v in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file({k: v.clone() for k, v in tensors.items()}, partial, {k: repr(float(v)) for k, v in progress.items()})
    partial.replace(path)


def load(path: Path, network: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Restore what :func:`save` wrote; returns ``progress``."""
    groups: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
    with safe_open(str(path), "pt") as file:
        for key in file.keys():  # noqa: SIM118 - not a dict
            group, _, rest = key.partition(".")
            groups[group][rest] = file.get_tensor(key)
        progress = {k: float(v) for k, v in (file.metadata() or {}).items()}
    network.load_state_dict(groups["network"])
    average.network.load_state_dict(groups["average"])
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in groups["optimizer"].items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress
