"""Trainings of the denoiser and its student: they learn, resume, join several processes, and what they export runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorboard")
import torch  # noqa: E402

from media2face.data.styles import CAPTION_INTENSITIES, level_of  # noqa: E402
from media2face.evaluation.lips import lip_rig  # noqa: E402
from media2face.models.media2face.config import DenoiserConfig  # noqa: E402
from media2face.onnx_export.media2face import export, load_run  # noqa: E402
from media2face.onnx_export.shipped import shipped_denoiser  # noqa: E402
from media2face.runtime.arkit import ARKIT_INDEX  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402
from media2face.runtime.motion import SamplerConfig  # noqa: E402
from media2face.runtime.sampler import MotionSampler  # noqa: E402
from media2face.runtime.sessions import load_model, weights_folder  # noqa: E402
from media2face.training import distill_media2face as distillation  # noqa: E402
from media2face.training.denoiser_loop import LoopSettings, Worker  # noqa: E402
from media2face.training.lip_loss import LipReader  # noqa: E402
from media2face.training.motion_windows import (  # noqa: E402
    PAST,
    SHARES,
    SLOWEST,
    Windows,
    caption_row,
    noise_times,
)
from media2face.training.train_media2face import begin, cache_sizes, starting_point, train  # noqa: E402

SMALL = DenoiserConfig(layers=1, width=48, feed_forward=64, window=24, max_frames=64, style_tokens=1)
SETTINGS = LoopSettings(minutes=0.05, batch=2, rate=3e-3, warmup=5)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips whose jaw follows one direction of the features."""
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    decoder = FaceDecoder()
    frames, clips, states, features = 90, [], [], []
    direction = rng.standard_normal(192)
    for i in range(6):
        opening = 0.5 + 0.5 * np.sin(np.arange(frames) * rng.uniform(0.2, 0.6))
        weights = np.zeros((frames, 52), np.float32)
        weights[:, ARKIT_INDEX["jawOpen"]] = 0.4 * opening
        weights[:, ARKIT_INDEX["eyeBlinkLeft"]] = weights[:, ARKIT_INDEX["eyeBlinkRight"]] = rng.random(frames) < 0.1
        head = 0.05 * rng.standard_normal((frames, 6)).cumsum(0) / 10
        states.append(np.concatenate([decoder.latents(weights), head], axis=1).astype(np.float32))
        features.append((np.outer(opening, direction) + 0.1 * rng.standard_normal((frames, 192))).astype(np.float16))
        kind = {"source": ("synthetic", "grid")[i % 2], "style": ("neutral", "happy")[i % 2], "intensity": 0.6}
        clips.append(
            {"id": str(i), "start": i * frames, "frames": frames, "split": "train" if i < 4 else "val", **kind}
        )
    np.save(folder / "states.npy", np.concatenate(states))
    np.save(folder / "features.npy", np.stack([np.concatenate(features)] * 2))
    np.save(folder / "prompts.npy", rng.standard_normal((2, 5, 3, 16)).astype(np.float32))
    weight, bias = rng.standard_normal((42, 192)).astype(np.float32) / 14, np.zeros(42, np.float32)
    np.savez(folder / "phone_head.npz", weight=weight, bias=bias)
    rest = np.concatenate([decoder.latents(np.zeros((1, 52), np.float32))[0], np.zeros(6, np.float32)])
    record = {"speech": "s", "style": "p", "decoder": decoder.fingerprint, "styles": ["neutral", "happy"],
              "rest": rest.tolist(), "neutral_style": [0.0] * 16, "clips": clips}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def teacher(cache: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("teacher")
    train(cache, run, shared_data, replace(SMALL, **cache_sizes(cache)), SETTINGS)
    return run


def test_windows_begin_at_rest_and_keep_to_their_split(cache: Path):
    windows = Windows(cache, "val", SHARES)
    assert {c["id"] for c in windows.clips} == {"4", "5"}
    states, features, prompt = windows.window(np.random.default_rng(0), 200)  # longer than the clip: starts before it
    assert (states[:PAST, :-6] == windows.rest[:-6]).all() and (states[:PAST, -6:] == states[PAST, -6:]).all()
    assert states.shape == (200, 70) and features.shape == (200, 192)
    assert (states[-10:] == states[-1]).all() and prompt.shape == (16,)
    with pytest.raises(ValueError, match="no clips"):
        Windows(cache, "test", SHARES)


def test_plain_words_are_said_of_strong_motion():
    rng = np.random.default_rng(0)
    said = {i: {level_of(CAPTION_INTENSITIES[caption_row(i, rng)]) for _ in range(60)} for i in (0.45, 0.85, 0.95)}
    assert said == {0.45: {"slight"}, 0.85: {"medium"}, 0.95: {"medium", "strong"}}


def test_heads_are_foreseen_and_come_to_rest(cache: Path):
    windows = Windows(cache, "train", SHARES)
    mean, std = windows.statistics()
    now, then = windows.head_dynamics(mean, std)
    for pair in zip(now, then, strict=True):
        assert np.abs(np.roots([1.0, -pair[0], -pair[1]])).max() <= SLOWEST + 1e-6
    rows = windows.states[: windows.clips[0]["frames"], -6:]
    pose = (rows - mean[-6:]) / std[-6:]
    left = pose[2:] - now * pose[1:-1] - then * pose[:-2]
    assert left.std() < 0.5 * pose.std()
    errors = windows.head_errors(mean, std, 4)
    assert errors.shape == (4, 6) and (np.diff(errors, axis=0) > 0).all()


def test_noised_frames_share_a_time_and_follow_the_given_ones():
    t, noised = noise_times(DenoiserConfig.edge(), 200, 40, np.random.default_rng(0))
    assert ((t > 0) == (noised > 0)).all() and (noised.diff(dim=1) >= 0).all() and (noised.sum(1) >= 2).all()
    assert all(len(set(row[row > 0].tolist())) == 1 for row in t)


def test_the_run_learns_draws_and_resumes(teacher: Path, cache: Path, shared_data: Path):
    network, record = load_run(teacher)
    before = float(record["progress"]["step"])
    assert before >= 1 and list(teacher.glob("validation-*.png")) and list((teacher / "tensorboard").iterdir())
    torch.manual_seed(SETTINGS.seed)
    more = replace(SETTINGS, minutes=float(record["progress"]["seconds"]) / 60 + 0.02)
    train(cache, teacher, shared_data, network.config, more, pictures=False)
    later, record = load_run(teacher)
    assert float(record["progress"]["step"]) > before
    moved = [float((a - b).abs().max()) for a, b in zip(network.parameters(), later.parameters(), strict=True)]
    assert max(moved) > 1e-5


def test_other_sizes_are_refused(teacher: Path, cache: Path):
    config = replace(SMALL, width=64, **cache_sizes(cache))
    with pytest.raises(ValueError, match="other sizes"):
        begin(config, cache, teacher, Windows(cache, "train", SHARES))
    with pytest.raises(ValueError, match="run folder"):
        starting_point(teacher / "nothing")


def test_two_processes_train_one_network(cache: Path, shared_data: Path, tmp_path: Path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "media2face.training.train_media2face", "--cache", str(cache), "--out", str(tmp_path), "--data",
               str(shared_data), "--minutes", "0.05", "--batch", "1", "--no-pictures"]  # fmt: skip
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=one_thread)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(load_run(tmp_path)[1]["progress"]["step"]) >= 1


def test_lips_that_should_close_cost_more_open(shared_data: Path):
    decoder = FaceDecoder()
    weights = np.zeros((3, 52), np.float32)
    weights[:, ARKIT_INDEX["jawOpen"]] = (0.0, 0.06, 0.4)  # closed, hardly open, wide
    states = torch.from_numpy(np.concatenate([decoder.latents(weights), np.zeros((3, 6))], axis=1).astype(np.float32))
    lips = LipReader(torch.zeros(70), torch.ones(70), 64, lip_rig(shared_data))
    closed, hardly, wide = states[None].split(1, dim=1)
    landmarks, closure = lips.errors(torch.cat([closed, wide], dim=1), torch.cat([hardly, hardly], dim=1))
    assert float(closure[0, 0]) > 0.2 and float(closure[0, 1]) < 0.05  # a millimetre at a closure, eight at a vowel
    assert float(landmarks[0, 0].mean()) < float(landmarks[0, 1].mean())


def test_the_student_follows_the_teachers_noise_and_the_recorded_mouth(
    teacher: Path, cache: Path, shared_data: Path, tmp_path: Path
):
    network, record = load_run(teacher)
    lesson = distillation.DistillSettings(steps=2, uses=2)
    worker = Worker.join()
    mean, std = (torch.tensor(record[k]) for k in ("mean", "std"))
    lips = LipReader(mean, std, 64, lip_rig(shared_data))
    axes = distillation.region_axes(std.numpy(), lips.mapping, 64)
    guide = distillation.Teacher(network, axes, lesson, SamplerConfig())
    windows = Windows(cache, "train", SHARES), Windows(cache, "val", SHARES)
    lessons = distillation.Lessons(guide, windows[0], lips, worker, 4)
    made = lessons.make(network, np.random.default_rng(0), 3)
    count = made.clean.shape[1] - PAST
    assert made.path.shape == (3, 3, count, 70) and made.past.shape == (3, PAST, 70)
    again = guide.sample(made.past, made.path[0], made.audio, made.style, made.has_style, worker)
    torch.testing.assert_close(again[-1][..., :64], made.path[-1][..., :64], atol=0.05, rtol=0)
    torch.testing.assert_close(made.path[-1][..., 64:], made.clean[:, PAST:, 64:], atol=1e-4, rtol=0)

    losses = distillation.distillation_losses(guide, windows, lips, worker)
    parts = losses(network, True, np.random.default_rng(1), 4)
    assert {"total", "apart", "lips", "closure"} <= set(parts) and float(parts["total"]) > 0

    distillation.distil(cache, tmp_path, shared_data, teacher, SETTINGS, lesson, pictures=False)
    record = load_run(tmp_path)[1]
    assert len(record["student"]["push"]) == 6 and min(record["student"]["push"]) > 0
    assert record["student"]["teacher_steps"] == 2 and record["student"]["guidance_style"] == 1.5


@pytest.mark.parametrize("bad", [{"steps": 0}, {"uses": 0}, {"first_step": 1.5}])
def test_bad_lessons_are_refused(bad: dict):
    with pytest.raises(ValueError):
        distillation.DistillSettings(**bad)


def test_an_exported_student_runs_in_one_step(teacher: Path, cache: Path, shared_data: Path, tmp_path: Path):
    run = tmp_path / "run"
    lesson = distillation.DistillSettings(steps=2)
    distillation.distil(cache, run, shared_data, teacher, SETTINGS, lesson, pictures=False)
    for name in ("gnpfa_to_weights", "gnpfa_from_weights"):
        (tmp_path / f"{name}.onnx").write_bytes((weights_folder() / f"{name}.onnx").read_bytes())
    export(run, cache, tmp_path, "student")
    sampler = MotionSampler(tmp_path, "cpu")
    assert sampler.config.steps == 1 and sampler.model.meta["student"]["teacher_steps"] == 2
    motions = []
    for seed in (0, 1):
        stream = sampler.stream(seed)
        stream.accept_features(0, np.zeros((60, 192), np.float32))
        stream.input_finished(16_000)
        motions.append(np.stack([f.latent for f in stream.frames_ready()]))
    assert motions[0].shape == (30, 64) and np.abs(motions[0] - motions[1]).max() > 1e-3


def test_a_shipped_file_comes_back_as_a_torch_network():
    network, record = shipped_denoiser("denoiser")
    model = load_model("denoiser")
    rng = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=rng)  # noqa: E731
    values = {
        "x": draw(2, 36, 70), "t": torch.randint(0, 500, (2, 36), generator=rng), "audio": draw(2, 36, 192),
        "style": draw(2, record["style_dim"]), "has_audio": torch.ones(2), "has_style": torch.tensor([1.0, 0.0]),
    }  # fmt: skip
    ours = model.run({k: v.numpy() for k, v in values.items()})["clean"]
    # the file holds its rotary tables as float16
    np.testing.assert_allclose(ours, network(**values).detach().numpy(), atol=2e-3)
