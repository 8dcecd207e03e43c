"""The loop that denoiser and student are trained in: bounded by time, resumable, on one device or several.

``torchrun --nproc-per-node N -m media2face.training.train_media2face ...`` trains on N devices; without torchrun it is
one process, on the GPU where there is one. A GPU and an AVX-512 core run the network in bfloat16, others in float32.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from media2face.training import checkpoint

Losses = Callable[[nn.Module, bool, np.random.Generator, int], dict[str, Tensor]]
"""(network, whether on held-out data, random numbers, windows) to scalar losses, of which ``total`` is minimised."""


@dataclass
class LoopSettings:
    """What is not part of the network.

    Raises:
        ValueError: if a number is not positive.
    """

    minutes: float = 40.0
    batch: int = 8  # windows per step and device
    rate: float = 6e-4
    warmup: int = 200
    seed: int = 0
    check_s: float = 180.0  # between validations, each with a checkpoint
    processor_time: bool = False  # the clock is this process' processor time, so that runs on a busy machine compare

    def __post_init__(self) -> None:
        for name in ("minutes", "batch", "rate", "check_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class Worker:
    """This process among those that train together."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls) -> Worker:
        """Join the processes that torchrun started, or be the only one."""
        cuda = torch.cuda.is_available()
        if "RANK" not in os.environ:
            return cls(0, 1, torch.device("cuda" if cuda else "cpu"))
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    def share(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over all processes."""
        return network if self.world == 1 else DistributedDataParallel(network)

    def agree(self, seconds: float) -> float:
        """The first process' clock, so that all stop at the same step."""
        if self.world == 1:
            return seconds
        clock = torch.tensor([seconds], dtype=torch.float64, device=self.device)
        distributed.broadcast(clock, 0)
        return float(clock)

    def autocast(self) -> torch.autocast:
        """bfloat16 where the hardware is made for it; elsewhere it would be emulated, ten times slower than float32."""
        fast = self.device.type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        return torch.autocast(self.device.type, torch.bfloat16, enabled=fast)


def fit(
    network: nn.Module, losses: Losses, settings: LoopSettings, out: Path, worker: Worker, title: str,
    picture: Callable[[nn.Module], np.ndarray] | None = None,
) -> nn.Module:  # fmt: skip
    """Train ``network`` until the time is over, from the last checkpoint of ``out`` if there is one.

    Args:
        network: on the worker's device.
        losses: see :data:`Losses`.
        settings: time, batch, learning rate (a cosine over the whole time).
        out: run folder: ``checkpoint.safetensors``, ``tensorboard/`` and, with ``picture``, ``validation-STEP.png``.
        worker: this process.
        title: of the progress bar.
        picture: the averaged network to a picture (H, W, 3) uint8, drawn at each validation.

    Returns:
        The averaged network.
    """
    rng = np.random.default_rng([settings.seed, worker.rank])
    torch.manual_seed(settings.seed + worker.rank)
    average = checkpoint.Average(network)
    average.network.eval()
    network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, settings.rate, weight_decay=0.01)
    step, spent = 0, 0.0
    path = out / "checkpoint.safetensors"
    if path.exists():
        progress = checkpoint.load(path, network, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
        rng = np.random.default_rng([settings.seed, worker.rank, step])
    shared = worker.share(network)
    lead = worker.rank == 0
    writer = SummaryWriter(str(out / "tensorboard")) if lead else None
    limit, clock = settings.minutes * 60, time.process_time if settings.processor_time else time.monotonic
    bar = tqdm(total=round(limit), initial=round(min(spent, limit)), unit="s", desc=title, disable=not lead)
    began, checked = clock() - spent, clock()
    smooth: dict[str, float] = {}
    while spent < limit:
        rate = settings.rate * min(1.0, (step + 1) / settings.warmup)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(spent / limit, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = losses(shared, False, rng, settings.batch)
        optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.update(network, step)
        step += 1
        spent = worker.agree(clock() - began)
        if not lead:
            continue
        if step % 20 == 0:
            for key, value in parts.items():
                smooth[key] = 0.8 * smooth.get(key, float(value.detach())) + 0.2 * float(value.detach())
                writer.add_scalar(f"train/{key}", smooth[key], step)
            bar.n = round(min(spent, limit))
            bar.set_postfix(step=step, **{k: f"{v:.3f}" for k, v in smooth.items()})
        if clock() - checked > settings.check_s or spent >= limit:
            checkpoint.save(path, network, average, optimizer, step=step, seconds=spent)
            with torch.no_grad():
                checks = [losses(average.network, True, np.random.default_rng(i), 16) for i in range(4)]
            values = {k: round(float(np.mean([float(c[k]) for c in checks])), 4) for k in checks[0]}
            for key, value in values.items():
                writer.add_scalar(f"val/{key}", value, step)
            tqdm.write(json.dumps({"step": step, "minutes": round(spent / 60, 1), "val": values}))
            if picture is not None:
                _draw(picture(average.network), out, writer, step)
            checked = clock()
    bar.close()
    if writer is not None:
        writer.close()
    return average.network


def _draw(image: np.ndarray, out: Path, writer: SummaryWriter, step: int) -> None:
    from PIL import Image

    Image.fromarray(image).save(out / f"validation-{step:07d}.png")
    writer.add_image("val/faces", image, step, dataformats="HWC")
