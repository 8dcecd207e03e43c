"""A picture of how training goes: a held-out clip as it was, and as the network makes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from media2face.bodies.render import Renderer, contact_sheet
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.rotation import quaternions_from_rotvecs
from media2face.runtime.schedulers import DDIMScheduler
from media2face.training.lip_loss import LipReader
from media2face.training.motion_windows import Windows

MOMENTS = 6


def validation_sheet(
    windows: Windows, lips: LipReader, steps: int = 4, known: int = 0, size: int = 160
) -> Callable[[nn.Module], np.ndarray]:
    """A function from a denoiser to a picture (H, W, 3) uint8: true motion above, sampled motion below, at six moments.

    The window is one of ``windows``, always the same. All of it is sampled (the paper's case: all times equal), or what
    follows its first ``known`` frames.

    Args:
        windows: held-out windows.
        lips: holds the statistics of the states.
        steps: DDIM steps.
        known: frames that are given.
        size: of one face, pixels.
    """
    decoder = FaceDecoder()
    renderer = Renderer(decoder.rig, (size, size))

    def draw(network: nn.Module) -> np.ndarray:
        config = network.config
        rng = np.random.default_rng(3)
        states, audio, style = windows.batch(rng, 1, config.window)
        device = next(network.parameters()).device
        mean, std = lips.state_mean.cpu(), lips.state_std.cpu()
        clean = ((states - mean) / std)[0].numpy()
        x = rng.standard_normal(clean[known:].shape, dtype=np.float32)
        scheduler, on = DDIMScheduler(config.train_steps), torch.ones(1, device=device)
        scheduler.set_timesteps(steps)
        times = torch.zeros(1, config.window, dtype=torch.long, device=device)
        for t in scheduler.timesteps:
            times[:, known:] = int(t)
            noisy = torch.from_numpy(np.concatenate([clean[:known], x]))[None].to(device)
            with torch.no_grad():
                predicted = network(noisy, times, audio.to(device), style.to(device), on, on)
            x = scheduler.step(predicted[0, known:].float().cpu().numpy(), int(t), x)
        moments = np.round(np.linspace(0.0, 1.0, MOMENTS) * (len(x) - 1)).astype(int)
        return contact_sheet([p for row in (clean[known:], x) for p in faces(row, moments)], MOMENTS)

    def faces(rows: np.ndarray, moments: np.ndarray) -> list[np.ndarray]:
        plain = rows[moments] * lips.state_std.cpu().numpy() + lips.state_mean.cpu().numpy()
        turns = quaternions_from_rotvecs(plain[:, -6:-3])
        meshes = decoder.mesh(plain[:, : lips.latent_dim])
        return [renderer.render(m, q, p) for m, q, p in zip(meshes, turns, plain[:, -3:], strict=True)]

    return draw
