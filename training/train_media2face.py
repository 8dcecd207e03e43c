"""Train the Media2Face denoiser on cached motion.

    python -m media2face.training.train_media2face --cache CACHE --config edge --minutes 40 --out RUN
    torchrun --nproc-per-node 8 -m media2face.training.train_media2face --config paper ...    # several GPUs

Training is bounded by time, not by steps. It resumes from the last checkpoint of ``--out`` and keeps an exponential
moving average, which is exported; see ``training/denoiser_loop.py``. ``--start-from`` goes on from another run, or from
an exported file such as ``models/weights/denoiser.onnx``, in that one's standardisation of the states.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from media2face.evaluation.lips import lip_rig
from media2face.models.media2face.config import CONFIGS, DenoiserConfig
from media2face.models.media2face.losses import denoiser_loss, masked_mean
from media2face.models.media2face.network import Denoiser
from media2face.onnx_export.media2face import load_run
from media2face.onnx_export.shipped import shipped_denoiser
from media2face.runtime.schedulers import cosine_alphas
from media2face.training.denoiser_loop import LoopSettings, Worker, fit
from media2face.training.lip_loss import LipReader
from media2face.training.motion_pictures import validation_sheet
from media2face.training.motion_windows import SHARES, Windows, noise_times

SHORT = 40  # frames of the shorter windows


def starting_point(start: Path) -> tuple[Denoiser, dict]:
    """The network of a run folder or of an exported ``.onnx`` file, and its record with ``mean`` and ``std``.

    Raises:
        ValueError: if there is neither at ``start``.
    """
    if start.suffix == ".onnx" and start.is_file():
        return shipped_denoiser(start.stem, start.parent)
    if (start / "config.json").is_file():
        return load_run(start)
    raise ValueError(f"expected a run folder or an exported .onnx file at {start}, found neither")


def begin(config: DenoiserConfig, cache: Path, start: Path | None, data: Windows) -> tuple[Denoiser, Tensor, Tensor]:
    """A new network, or the one at ``start``, and mean and deviation (D,) of the states it works on.

    Raises:
        ValueError: if the network at ``start`` has other sizes than ``config``.
    """
    network = Denoiser(config)
    if start is None:
        mean, std = data.statistics()
    else:
        earlier, record = starting_point(start)
        mean, std = record["mean"], record["std"]
        try:
            network.load_from(earlier)
        except RuntimeError as error:
            raise ValueError(f"the network at {start} has other sizes than the configuration: {error}") from error
    if config.phones:
        head = np.load(cache / "phone_head.npz")
        network.audio_in.phone_head.load_state_dict({k: torch.from_numpy(head[k]) for k in ("weight", "bias")})
    return network, torch.tensor(np.asarray(mean, np.float32)), torch.tensor(np.asarray(std, np.float32))


def write_record(out: Path, config: DenoiserConfig, mean: Tensor, std: Tensor, settings: LoopSettings, **more) -> None:
    """``config.json`` of a run folder: what :func:`~media2face.onnx_export.media2face.load_run` reads."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"config": asdict(config), "mean": mean.tolist(), "std": std.tolist(), "settings": asdict(settings)}
    (out / "config.json").write_text(json.dumps({**record, **more}))


def denoising_losses(
    config: DenoiserConfig, windows: tuple[Windows, Windows], lips: LipReader, worker: Worker
) -> Callable[[nn.Module, bool, np.random.Generator, int], dict[str, Tensor]]:
    """Equation 8 and the lips' terms on random windows of (training, held-out) data, with the masks of section 4.1.

    Half of the training batches are short windows, twice as many: the length at which a stream runs.
    """
    alphas = torch.from_numpy(cosine_alphas(config.train_steps)).float()

    def losses(network: nn.Module, held_out: bool, rng: np.random.Generator, size: int) -> dict[str, Tensor]:
        length = config.window
        if not held_out and length > SHORT and rng.random() < 0.5:
            size, length = size * 2, SHORT
        states, audio, style = windows[held_out].batch(rng, size, length)
        clean = (states - lips.state_mean) / lips.state_std
        t, noised = noise_times(config, size, length, rng)
        level = alphas[t].unsqueeze(-1)
        draw = lambda: torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))  # noqa: E731
        x = level.sqrt() * clean + (1 - level).sqrt() * draw()
        # the past a stream holds is its own, imperfect output
        slip = torch.from_numpy(rng.uniform(0.0, 0.2, (size, 1, 1)).astype(np.float32))
        x = x + (1 - noised).unsqueeze(-1) * slip * draw()
        keep = [
            torch.from_numpy((rng.random(size) >= p).astype(np.float32)) for p in (config.drop_all, config.drop_style)
        ]
        x, t, audio, style, clean, noised, has_audio, has_style = (
            v.to(worker.device) for v in (x, t, audio, style, clean, noised, *keep)
        )
        with worker.autocast():
            predicted = network(x, t, audio, style, has_audio, has_style)
        predicted = predicted.float()
        parts = denoiser_loss(config, clean, predicted, noised)
        landmarks, closure = lips.errors(clean, predicted)
        heard = noised * has_audio.unsqueeze(-1)
        parts["lips"], parts["closure"] = masked_mean(landmarks, heard), masked_mean(closure, heard)
        parts["total"] = parts["total"] + config.weight_lips * parts["lips"] + config.weight_closure * parts["closure"]
        return parts

    return losses


def train(
    cache: Path, out: Path, data_folder: Path, config: DenoiserConfig, settings: LoopSettings,
    start: Path | None = None, pictures: bool = True,
) -> nn.Module:  # fmt: skip
    """Train until the time is over, from scratch or from ``start``; returns the averaged network."""
    worker = Worker.join()
    windows = Windows(cache, "train", SHARES), Windows(cache, "val", SHARES)
    network, mean, std = begin(config, cache, start, windows[0])
    lips = LipReader(mean, std, config.latent_dim, lip_rig(data_folder))
    if worker.rank == 0:
        write_record(out, config, mean, std, settings)
    picture = validation_sheet(windows[1], lips) if pictures else None
    losses = denoising_losses(config, windows, lips.to(worker.device), worker)
    return fit(network.to(worker.device), losses, settings, out, worker, "denoiser", picture)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that denoiser and student share."""
    parser.add_argument("--cache", type=Path, required=True, help="folder written by training.motion_cache")
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint, config, curves, pictures")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the ICT rig")
    parser.add_argument("--minutes", type=float, default=LoopSettings.minutes)
    parser.add_argument("--batch", type=int, default=LoopSettings.batch, help="windows per step and device")
    parser.add_argument("--rate", type=float, default=LoopSettings.rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", type=float, default=LoopSettings.check_s, metavar="S", help="between validations")
    parser.add_argument("--no-pictures", action="store_true", help="draw no faces at the validations")


def cache_sizes(cache: Path) -> dict[str, int]:
    """Sizes of state, style, features and phones (0 for an encoder that knows none) in a cache, as fields of
    :class:`DenoiserConfig`."""
    record = json.loads((cache / "index.json").read_text())
    audio = int(np.load(cache / "features.npy", mmap_mode="r").shape[-1])
    return {"latent_dim": len(record["rest"]) - 6, "style_dim": len(record["neutral_style"]), "audio_dim": audio,
            "phones": record.get("phones", DenoiserConfig.phones)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--config", choices=CONFIGS, default="edge")
    parser.add_argument("--start-from", type=Path, metavar="RUN", help="run folder or exported .onnx to go on from")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = replace(CONFIGS[options.config](), **cache_sizes(options.cache))
    settings = LoopSettings(options.minutes, options.batch, options.rate, seed=options.seed, check_s=options.check)
    train(options.cache, options.out, options.data, config, settings, options.start_from, not options.no_pictures)


if __name__ == "__main__":
    main()
