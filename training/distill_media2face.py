"""Distil the Media2Face denoiser into a student that samples in one step or two, guidance folded in.

    python -m media2face.training.distill_media2face --cache CACHE --teacher models/weights/denoiser.onnx --out RUN

The student is a network of the teacher's sizes with its inputs and outputs, so ``MotionSampler`` runs it with
``steps=1``. It sees windows as the stream does: the past given, a few frames unknown. From the same noise as the
teacher's guided DDIM it predicts, at any of the teacher's noise times, where that ends (knowledge distillation of the
whole trajectory: Luhman and Luhman 2021), so that another noise still is another motion: blinks, gaze, brows.

A stream's past is its own output, not a recording. So the past of a window is, for some frames, what the student itself
makes of the speech, and it learns to go on from there.

The mouth is taught otherwise. A sample closes or it does not; which of the two where the speech leaves it open is
chance, and a listener's eye prefers the mean. So along the directions that move jaw and mouth the student learns the
recorded motion itself (in the mean, since noise says nothing of it), with the lips' terms of the denoiser.

So is the head. It has mass: recorded heads change their speed by little from frame to frame, a few-step teacher's by as
much as the speed itself, since every window is sampled anew. The student learns the recorded head, which its network
predicts as a departure from what the last two frames let expect (``config.hold``; a linear prediction fitted to the
recorded heads, so that it swings and comes to rest as they do). Its error counts in units of what that linear
prediction misses so many frames ahead: nods would be lost among millimetres otherwise. What speech does not explain is
added by the sampler: noise that accelerates the head, in units of the recorded one's acceleration (``push``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from media2face.evaluation.lips import lip_rig
from media2face.models.media2face.losses import denoiser_loss, masked_mean
from media2face.models.media2face.network import Denoiser
from media2face.onnx_export.media2face import region_axes
from media2face.runtime.motion import SamplerConfig
from media2face.runtime.noise import tempered
from media2face.runtime.schedulers import DDIMScheduler
from media2face.training.denoiser_loop import LoopSettings, Worker, fit
from media2face.training.lip_loss import LipReader
from media2face.training.motion_pictures import validation_sheet
from media2face.training.motion_windows import PAST, SHARES, Windows
from media2face.training.train_media2face import add_arguments, starting_point, write_record

UNKNOWN = {2: 0.4, 3: 0.15, 4: 0.25, 6: 0.1, 16: 0.1}
"""Frames sampled at once, hop and look-ahead together, and how often; 16 where a keyframe is seen coming."""
OWN = ((0, 4), (1, 4), (2, 4), (4, 4), (8, 4), (4, 1), (8, 1), (16, 1))
"""How many passes of the past are the student's own, and of how many frames: as in whole files, or, with a frame of
look-ahead that is thrown away, as in a stream."""
MISHEARD = 0.5
"""Share of the windows whose past mouth says in part what another window says: where the mouth belongs is for the
speech to tell. A student that reads it off its own past goes on with its own errors, the more the shorter its hops."""
LEAST_STEP = 0.002
"""Standard deviations: the head is not fitted any closer."""
LARGE = 3.0
"""Error of the head, in those that linear prediction makes, from which on it counts linearly: nods are rare and large,
and a recording may start far from rest."""


@dataclass(frozen=True)
class DistillSettings:
    """What the teacher does, and how often its work is used.

    Raises:
        ValueError: if a number is out of range.
    """

    # teacher
    steps: int = 4
    guidance_style: float = 1.5  # s_P of equation 9, as in section 5.1, folded into the student ...
    guidance_audio: float = 0.0  # ... and s_A

    # training
    uses: int = 8  # steps that each batch of the teacher's motion is trained on, spread over time
    first_step: float = 0.8  # share of the windows that start from pure noise
    drop_style: float = 0.15
    weight_head: float = 0.5  # of the head's squared error over that of linear prediction (``Denoiser.foresee``)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.uses < 1:
            raise ValueError(f"steps and uses must be positive, got {self.steps} and {self.uses}")
        for name in ("first_step", "drop_style"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")


class Teacher:
    """The frozen denoiser, sampling windows as the engine does.

    Args:
        network: the denoiser.
        axes: ``mouth`` and ``eyes``, see :func:`~media2face.onnx_export.media2face.region_axes`.
        settings: steps and guidance.
        sampling: the temperatures of the regions.
    """

    def __init__(
        self, network: Denoiser, axes: dict[str, np.ndarray], settings: DistillSettings, sampling: SamplerConfig
    ) -> None:
        self.network, self.settings, self.sampling = network.eval().requires_grad_(False), settings, sampling
        self.scheduler = DDIMScheduler(network.config.train_steps)
        self.scheduler.set_timesteps(settings.steps)
        self.axes = {k: torch.from_numpy(v.astype(np.float32)) for k, v in axes.items()}

    def noise(self, rng: np.random.Generator, size: int, frames: int) -> Tensor:
        """Initial noise (B, n, D) with each region's temperature; one window in four has less of all."""
        config = self.network.config
        white = torch.from_numpy(rng.standard_normal((size, frames, config.state_dim), dtype=np.float32))
        noise = tempered(white, self.sampling, self.axes, config.latent_dim)
        less = torch.from_numpy(rng.uniform(0.0, 1.0, (size, 1, 1)).astype(np.float32))
        return torch.where(torch.from_numpy(rng.random((size, 1, 1)) < 0.25), less * noise, noise)

    @torch.no_grad()
    def sample(
        self, past: Tensor, x: Tensor, audio: Tensor, style: Tensor, has_style: Tensor, worker: Worker
    ) -> Tensor:
        """The trajectory (steps + 1, B, n, D) of guided DDIM: x before every step, and where it ends."""
        s_p, s_a, given = self.settings.guidance_style, self.settings.guidance_audio, past.shape[1]
        on = torch.ones_like(has_style)
        branches = [(w, a, s) for w, a, s in ((1 - s_a - s_p, 0 * on, 0 * on), (s_a, on, 0 * on), (s_p, on, has_style))
                    if abs(w) > 1e-6]  # fmt: skip
        path = [x]
        for t in self.scheduler.timesteps:
            times = torch.zeros(len(x), given + x.shape[1], dtype=torch.long, device=x.device)
            times[:, given:] = int(t)
            both = torch.cat([past, path[-1]], dim=1)
            with worker.autocast():
                clean = sum(w * self.network(both, times, audio, style, a, s).float() for w, a, s in branches)
            a, b = self.scheduler.levels(int(t))
            clean = clean[:, given:]
            path.append(b**0.5 * clean + (1 - b) ** 0.5 * (path[-1] - a**0.5 * clean) / (1 - a) ** 0.5)
        return torch.stack(path)


@dataclass
class Lesson:
    """One batch of windows with the teacher's motion."""

    clean: Tensor
    """(B, PAST + n, D) recorded states, standardised."""
    past: Tensor
    """(B, PAST, D) what comes before the unknown frames: recorded, slightly disturbed, and then the student's own. The
    head is always the recorded one, so that its steps are to be trusted."""
    audio: Tensor
    style: Tensor
    has_style: Tensor
    path: Tensor
    """(steps + 1, B, n, D), see :meth:`Teacher.sample`; the head is the recorded one."""


class Lessons:
    """Batches of the teacher's motion; each is made once and used several times, at random moments."""

    def __init__(self, teacher: Teacher, windows: Windows, lips: LipReader, worker: Worker, keep: int) -> None:
        self.teacher, self.windows, self.lips, self.worker, self.keep = teacher, windows, lips, worker, keep
        self.latent_dim = teacher.network.config.latent_dim
        self.kept: list[Lesson] = []
        self.drawn = 0

    def draw(self, network: nn.Module, rng: np.random.Generator, size: int) -> Lesson:
        """A lesson, fresh every ``settings.uses`` draws."""
        self.drawn += 1
        if len(self.kept) < 2 or self.drawn % self.teacher.settings.uses == 0:
            self.kept = [*self.kept, self.make(network, rng, size)][-self.keep :]
            return self.kept[-1]
        return self.kept[rng.integers(len(self.kept))]

    def make(self, network: nn.Module, rng: np.random.Generator, size: int) -> Lesson:
        """A fresh lesson of ``size`` windows for the student as it is now."""
        count, (passes, hop) = int(rng.choice(list(UNKNOWN), p=list(UNKNOWN.values()))), OWN[rng.integers(len(OWN))]
        own, seen = passes * hop, max(hop, 2)
        states, audio, style = self.windows.batch(rng, size, PAST + own + max(count, seen - hop))
        clean = (states - self.lips.state_mean.cpu()) / self.lips.state_std.cpu()
        slip = torch.from_numpy(rng.uniform(0.0, 0.25, (size, 1, 1)).astype(np.float32))
        past = clean[:, :PAST]
        slips = slip * torch.from_numpy(rng.standard_normal(past.shape, dtype=np.float32))
        slips[..., self.latent_dim :] = 0.0
        past = self._mishear(past, rng) + slips
        has_style = torch.from_numpy((rng.random(size) >= self.teacher.settings.drop_style).astype(np.float32))
        noises = [self.teacher.noise(rng, size, n) for n in (*[seen] * passes, count)]
        clean, past, audio, style, has_style, *noises = (
            v.to(self.worker.device) for v in (clean, past, audio, style, has_style, *noises)
        )
        for done, noise in zip(range(0, own, hop), noises[:-1], strict=True):
            heard = audio[:, done : done + PAST + seen]
            made = self._own(network, past, noise, heard, style, has_style)[:, :hop]
            made[..., self.latent_dim :] = clean[:, PAST + done : PAST + done + hop, self.latent_dim :]
            past = torch.cat([past, made], dim=1)[:, -PAST:]
        clean, audio = clean[:, own : own + PAST + count], audio[:, own : own + PAST + count]
        path = self.teacher.sample(past, noises[-1], audio, style, has_style, self.worker)
        self._put_head(path, clean[:, PAST:])
        return Lesson(clean, past, audio, style, has_style, path)

    def _mishear(self, past: Tensor, rng: np.random.Generator) -> Tensor:
        """The past (B, PAST, D) with the mouth, in :data:`MISHEARD` of the windows, drawn towards another window's."""
        mouth, z = self.teacher.axes["mouth"].cpu(), self.latent_dim
        share = rng.uniform(0.0, 1.0, len(past)) * (rng.random(len(past)) < MISHEARD)
        towards = (torch.roll(past, 1, dims=0) - past)[..., :z] @ mouth.T @ mouth
        past = past.clone()
        past[..., :z] += torch.from_numpy(share.astype(np.float32))[:, None, None] * towards
        return past

    def _put_head(self, path: Tensor, recorded: Tensor) -> None:
        """Put the recorded head (B, n, D) into the path, with the noise of each step."""
        z, scheduler = self.latent_dim, self.teacher.scheduler
        noise, head = path[0][..., z:].clone(), recorded[..., z:]
        for index, t in enumerate([*scheduler.timesteps, 0]):
            level = float(scheduler.alphas[int(t)])
            path[index][..., z:] = level**0.5 * head + (1 - level) ** 0.5 * noise

    @torch.no_grad()
    def _own(
        self, network: nn.Module, past: Tensor, noise: Tensor, audio: Tensor, style: Tensor, has_style: Tensor
    ) -> Tensor:
        times = torch.zeros(len(past), audio.shape[1], dtype=torch.long, device=past.device)
        times[:, PAST:] = int(self.teacher.scheduler.timesteps[0])
        with self.worker.autocast():
            clean = network(torch.cat([past, noise], dim=1), times, audio, style, torch.ones_like(has_style), has_style)
        return clean[:, PAST:].float()


def distillation_losses(
    teacher: Teacher, windows: tuple[Windows, Windows], lips: LipReader, worker: Worker
) -> Callable[[nn.Module, bool, np.random.Generator, int], dict[str, Tensor]]:
    """The student's losses on (training, held-out) data: equation 8 against the teacher's motion with the recorded
    mouth, the lips' terms against the recorded ones, and ``apart``, the teacher's part of the squared error alone."""
    config, settings = teacher.network.config, teacher.settings
    lessons = [Lessons(teacher, w, lips, worker, keep) for w, keep in zip(windows, (64, 1), strict=True)]
    axes = teacher.axes["mouth"].to(worker.device)
    z = config.latent_dim
    scale = lips.state_mean.cpu().numpy(), lips.state_std.cpu().numpy()
    way = torch.from_numpy(windows[0].head_errors(*scale, max(UNKNOWN))).float()
    way = way.clamp(min=LEAST_STEP).to(worker.device)

    def losses(network: nn.Module, held_out: bool, rng: np.random.Generator, size: int) -> dict[str, Tensor]:
        lesson = (lessons[1].make if held_out else lessons[0].draw)(network, rng, size)
        batch, count = len(lesson.clean), lesson.clean.shape[1] - PAST
        late = rng.integers(0, settings.steps, batch)
        place = torch.from_numpy(np.where(rng.random(batch) < settings.first_step, 0, late)).to(worker.device)
        x = lesson.path[place, torch.arange(batch, device=worker.device)]
        times = torch.zeros(batch, PAST + count, dtype=torch.long, device=worker.device)
        steps = torch.from_numpy(teacher.scheduler.timesteps).to(worker.device)
        times[:, PAST:] = steps[place][:, None]
        with worker.autocast():
            predicted = network(
                torch.cat([lesson.past, x], dim=1), times, lesson.audio, lesson.style,
                torch.ones(batch, device=worker.device), lesson.has_style,
            )  # fmt: skip
        predicted = predicted.float()
        target = torch.cat([lesson.past, lesson.path[-1]], dim=1)
        apart = (predicted - target)[..., :z]
        apart = apart - apart @ axes.T @ axes
        recorded = (lesson.clean - target)[:, PAST:, :z] @ axes.T @ axes
        target[:, PAST:, :z] += recorded
        noised = torch.zeros(batch, PAST + count, device=worker.device)
        noised[:, PAST:] = 1.0
        parts = denoiser_loss(config, target, predicted, noised)
        landmarks, closure = lips.errors(lesson.clean, predicted)
        parts["apart"] = masked_mean(apart**2, noised)
        heads = [x[:, PAST:, z:] / way[:count] for x in (predicted, target)]
        parts["head"] = 2 * huber_loss(*heads, delta=LARGE)
        parts["lips"], parts["closure"] = masked_mean(landmarks, noised), masked_mean(closure, noised)
        for name, weight in (
            ("lips", config.weight_lips), ("closure", config.weight_closure), ("head", settings.weight_head)
        ):  # fmt: skip
            parts["total"] = parts["total"] + weight * parts[name]
        return parts

    return losses


def distil(
    cache: Path, out: Path, data_folder: Path, taught_by: Path, settings: LoopSettings, lesson: DistillSettings,
    start: Path | None = None, pictures: bool = True,
) -> nn.Module:  # fmt: skip
    """Train a student of the denoiser ``taught_by`` (run folder or ``.onnx``); returns the averaged network.

    It starts as its teacher, or as the network at ``start``.
    """
    worker = Worker.join()
    windows = Windows(cache, "train", SHARES), Windows(cache, "val", SHARES)
    network, record = starting_point(taught_by)
    mean, std = (torch.tensor(np.asarray(record[k], np.float32)) for k in ("mean", "std"))
    config = replace(network.config, window=PAST + max(UNKNOWN), hold=True)
    lips = LipReader(mean, std, config.latent_dim, lip_rig(data_folder))
    axes = region_axes(std.numpy(), lips.mapping, config.latent_dim)
    teacher = Teacher(network.to(worker.device), axes, lesson, SamplerConfig.of(record))
    student = Denoiser(config)
    student.load_from(starting_point(start)[0] if start else network)
    student.foresee(torch.from_numpy(windows[0].head_dynamics(mean.numpy(), std.numpy())))
    if worker.rank == 0:
        folded = {"guidance_style": lesson.guidance_style, "guidance_audio": lesson.guidance_audio}
        push = windows[0].rates()[1][config.latent_dim :] / std.numpy()[config.latent_dim :]
        about = {"teacher": record.get("fingerprint", taught_by.name), "teacher_steps": lesson.steps, **folded,
                 "push": push.tolist()}  # fmt: skip
        write_record(out, config, mean, std, settings, student=about)
    picture = validation_sheet(windows[1], lips, 1, PAST) if pictures else None
    losses = distillation_losses(teacher, windows, lips.to(worker.device), worker)
    return fit(student.to(worker.device), losses, settings, out, worker, "student", picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--teacher", type=Path, required=True, help="run folder or exported .onnx of the denoiser")
    parser.add_argument("--start-from", type=Path, metavar="RUN", help="start as this network, not as the teacher")
    parser.add_argument("--teacher-steps", type=int, default=DistillSettings.steps)
    parser.add_argument("--guidance-style", type=float, default=DistillSettings.guidance_style, help="s_P, folded in")
    parser.add_argument("--guidance-audio", type=float, default=DistillSettings.guidance_audio, help="s_A, folded in")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lesson = DistillSettings(options.teacher_steps, options.guidance_style, options.guidance_audio)
    settings = LoopSettings(options.minutes, options.batch, options.rate, seed=options.seed, check_s=options.check)
    pictures = not options.no_pictures
    distil(options.cache, options.out, options.data, options.teacher, settings, lesson, options.start_from, pictures)


if __name__ == "__main__":
    main()
