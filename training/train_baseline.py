"""Train what Media2Face is compared with, on the same cache, network and losses.

    python -m media2face.training.train_baseline --cache CACHE --out RUN --space z --objective regression

``--space`` is what a frame's state holds beside the head pose, ``--objective`` how it is predicted, ``--share`` how
much of the training clips is used; see ``models/baselines/README.md`` for the rows of the paper's table 2 they make.
``--start-from models/weights/denoiser.onnx`` begins with that network, carried over to the space: few minutes then give
strong baselines. ``--minutes`` are of this process' processor time, so that runs on a busy machine compare. Training
resumes from the checkpoint in ``--out``, in the standardisation that it began with.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from media2face.models.baselines.config import OBJECTIVES, SPACES, BaselineConfig
from media2face.models.media2face.config import CONFIGS, DenoiserConfig
from media2face.models.media2face.network import Denoiser
from media2face.training.baseline_spaces import POSE, SpaceLips, SpaceWindows, affine_to
from media2face.training.denoiser_loop import LoopSettings, Losses, Worker, fit
from media2face.training.train_media2face import (
    begin,
    cache_sizes,
    denoising_losses,
    starting_point,
    write_record,
)


def regression(losses: Losses, config: DenoiserConfig) -> Losses:
    """The losses of a network that sees nothing where a frame is to be predicted: no noise, and one time for all.

    What it learns to give is the mean of the motions that fit the speech, the style and the frames before.
    """

    def blind(network: nn.Module):
        def run(x: Tensor, t: Tensor, *conditions: Tensor) -> Tensor:
            given = t == 0
            return network(x * given.unsqueeze(-1), (~given) * config.train_steps, *conditions)

        return run

    return lambda network, held_out, rng, size: losses(blind(network), held_out, rng, size)


def carried_over(start: Path, space: str, config: DenoiserConfig, mean: Tensor, std: Tensor, data: Path) -> Denoiser:
    """The denoiser at ``start`` as a network whose states are of ``space``, standardised by ``mean`` and ``std`` (D,).

    Between the spaces lies the affine part of M' (and the rig's deltas); the layers inside stay as they are.
    """
    earlier, record = starting_point(start)
    own_mean, own_std = (torch.tensor(np.asarray(record[k]), dtype=torch.float32) for k in ("mean", "std"))
    matrix, offset = affine_to(space, len(own_mean) - POSE, data)
    forth = matrix * own_std / std.unsqueeze(1)  # (D', D) between standardised states
    shift = (matrix @ own_mean + offset - mean) / std
    back = torch.linalg.pinv(forth)
    network, state = Denoiser(config), earlier.state_dict()
    weight, bias = state["state_out.weight"], state["state_out.bias"]
    state["state_out.weight"], state["state_out.bias"] = forth @ weight, forth @ bias + shift
    weight, bias = state["state_in.weight"], state["state_in.bias"]
    state["state_in.weight"], state["state_in.bias"] = weight @ back, bias - weight @ back @ shift
    network.load_state_dict(state)
    return network


def train(
    cache: Path, out: Path, data: Path, config: DenoiserConfig, baseline: BaselineConfig, settings: LoopSettings,
    start: Path | None = None,
) -> nn.Module:  # fmt: skip
    """Train until the processor time is spent, from scratch or from ``start``; returns the averaged network."""
    worker = Worker.join()
    windows = SpaceWindows(cache, "train", baseline, data), SpaceWindows(cache, "val", baseline, data)
    config = replace(config, latent_dim=windows[0].states.shape[1] - POSE)
    if baseline.objective == "regression":  # it always hears its conditions
        config = replace(config, drop_style=0.0, drop_all=0.0)
    torch.manual_seed(settings.seed)
    network, mean, std = begin(config, cache, None, windows[0])
    if (out / "config.json").is_file():
        earlier = json.loads((out / "config.json").read_text())
        mean, std = (torch.tensor(earlier[k], dtype=torch.float32) for k in ("mean", "std"))
    if start is not None:
        network = carried_over(start, baseline.space, config, mean, std, data)
    write_record(out, config, mean, std, settings, baseline=asdict(baseline), rest=windows[0].rest.tolist(),
                 start=start.stem if start else "")  # fmt: skip
    losses = denoising_losses(config, windows, SpaceLips(baseline.space, mean, std, data).to(worker.device), worker)
    if baseline.objective == "regression":
        losses = regression(losses, config)
    title = f"{baseline.objective} on {baseline.space}"
    return fit(network.to(worker.device), losses, settings, out, worker, title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder written by training.motion_cache")
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint and config")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the ICT rig")
    parser.add_argument("--config", choices=CONFIGS, default="edge")
    parser.add_argument("--space", choices=SPACES, default="z", help="what a state holds beside the head pose")
    parser.add_argument("--objective", choices=OBJECTIVES, default="diffusion")
    parser.add_argument("--share", type=float, default=1.0, help="of the training clips, 0 to 1")
    parser.add_argument("--start-from", type=Path, metavar="RUN", help="run folder or exported .onnx to begin with")
    parser.add_argument("--minutes", type=float, default=8.0, help="of one core's processor time")
    parser.add_argument("--window", type=int, help="frames of a training window (default: the configuration's)")
    parser.add_argument("--batch", type=int, default=LoopSettings.batch)
    parser.add_argument("--rate", type=float, default=LoopSettings.rate)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(CONFIGS[options.config](), **cache_sizes(options.cache))
    if options.window:
        config = replace(config, window=options.window)
    settings = LoopSettings(
        options.minutes, options.batch, options.rate, seed=options.seed, check_s=45.0, processor_time=True
    )
    baseline = BaselineConfig(options.space, options.objective, options.share)
    train(options.cache, options.out, options.data, config, baseline, settings, options.start_from)


if __name__ == "__main__":
    main()
