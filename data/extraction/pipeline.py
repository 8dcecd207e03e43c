"""One video to clips, in two steps that any process of any machine can do: landmarks, then motion.

    track_video    pictures to landmarks, kept in a file
    clips_of_video landmarks and sound to checked clips, written to the folder

Between the two, all videos of one talker teach the rest face and the head frame (:class:`media2face.data.fit.Talker`).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from media2face.data.clips import FPS, SAMPLE_RATE, MotionClip, flac_bytes
from media2face.data.curve_takes import cut_points
from media2face.data.extraction.cleaning import Cleaning, clean
from media2face.data.extraction.filters import Filters, Rejection, Stretch, eye_px, stretches
from media2face.data.extraction.sync import Sync, sync
from media2face.data.extraction.video import Video
from media2face.data.files import sha256, whole_file, write_json
from media2face.data.fit import Fit, Talker
from media2face.data.rig import ICTRig
from media2face.data.tracking import FaceTrack, VideoTracker
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError

MAX_DRIFT_S = 0.1
"""Picture and sound may end this far apart and still count as of one length."""
LEARN_TRACKS, LEARN_FRAMES = 150, 30_000
"""Videos and frames from which a talker's rest is learnt, at most."""
_UNEVEN = 0.2
_SAME_SIZE, _SAME_POSE_DEG = 0.05, 10.0


@dataclass(frozen=True)
class ExtractConfig:
    """Everything that decides what comes out.

    Attributes:
        data: folder with ``face_landmarker.task``, ``ict_face.npz`` and ``ict_vertex_indices.json``.
        filters, cleaning: thresholds.
        original_audio: also keep the sound at the video's own rate, as ``ID.original.flac``.
    """

    data: Path
    filters: Filters = field(default_factory=Filters)
    cleaning: Cleaning = field(default_factory=Cleaning)
    original_audio: bool = False

    def record(self) -> dict:
        """The settings as plain values, for the manifest (the folder of models does not count)."""
        return {"filters": asdict(self.filters), "cleaning": asdict(self.cleaning), "original": self.original_audio}


@dataclass(frozen=True)
class VideoJob:
    """One video: where it lies, the name its clips begin with, who talks."""

    path: Path
    name: str
    talker: str


def hash_split(name: str) -> str:
    """train, val or test (80/10/10) by a hash of the name, the same on every machine."""
    bucket = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return "val" if bucket == 0 else "test" if bucket == 1 else "train"


def to_clip_rate(times: np.ndarray, values: np.ndarray, frames: int) -> np.ndarray:
    """Values (F, ...) at ``times`` (F,) s on the grid k/30 s, k < frames, by cubic splines; ends are held.

    Lips close for one or two video frames: splines keep the closure that falls between two of them (on GRID 86 % of the
    bilabials at the start of words close to within 0.5 mm of rest; shape-preserving cubics leave 76 %).
    """
    grid = np.clip(np.arange(frames) / FPS, times[0], times[-1])
    return CubicSpline(times, values, axis=0)(grid).astype(np.float32)


@lru_cache(maxsize=1)
def _tracker(model: Path) -> VideoTracker:
    return VideoTracker(model, faces=2)


@lru_cache(maxsize=1)
def _rig(data: Path) -> ICTRig:
    return ICTRig.load(data)


@lru_cache(maxsize=1)
def _decoder() -> FaceDecoder:
    return FaceDecoder()


def track_video(path: Path, cache: Path, config: ExtractConfig) -> str:
    """Landmarks of one video into the file ``cache``; returns why the video cannot be used, or ""."""
    f = config.filters
    try:
        video = Video(path)
        if 0 < video.fps < f.min_fps - 0.01:
            return f"{video.fps:.3g} frames per second, expected {f.min_fps:g} or more"
        if f.need_sound and not video.may_sound:
            return "no sound"
        track = _tracker(config.data / "face_landmarker.task").track(path, video.stride, max_lost=1.0)
    except InputError as error:
        text = str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ")
        return "no face" if text.startswith("a face in 0 ") else text
    if len(track.times) < 3:
        return f"{len(track.times)} frames, expected at least {f.min_seconds * f.min_fps:.0f}"
    if track.seconds > f.max_video_seconds:
        return f"longer than {f.max_video_seconds / 3600:g} h: cut it first"
    rate = 1 / float(np.median(np.diff(track.times)))
    if rate < f.min_fps - 0.01:
        return f"{rate:.3g} frames per second, expected {f.min_fps:g} or more"
    track.save(cache)
    return ""


def learn_talker(caches: list[Path], config: ExtractConfig) -> Talker:
    """The rest face and head frame of the one talker of all these tracks, from frames that pass the filters.

    Raises:
        InputError: if nothing usable is seen or the mouth is never closed and still.
    """
    step = max(1, len(caches) // LEARN_TRACKS)
    parts: list[FaceTrack] = []
    frames = 0
    for cache in caches[::step]:
        track = FaceTrack.load(cache)
        for kept in stretches(track, config.filters)[0]:
            if not kept.bridged.any() and frames < LEARN_FRAMES:
                parts.append(track.part(kept.first, kept.last))
                frames += kept.last - kept.first
    if not parts:
        raise InputError("no stretch of any video passes the filters")
    return Talker(_rig(config.data), parts)


def even(track: FaceTrack) -> FaceTrack:
    """The track at an even rate if its frames come at uneven times (by linear interpolation), else as it is."""
    step = np.diff(track.times)
    if len(step) < 2 or np.percentile(np.abs(step / np.median(step) - 1), 90) < _UNEVEN:
        return track
    grid = np.arange(track.times[0], track.times[-1], 1 / FPS)

    def at(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1)
        out = np.stack([np.interp(grid, track.times, c) for c in flat.T], axis=1)
        return out.reshape(len(grid), *values.shape[1:]).astype(np.float32)

    near = np.round(np.interp(grid, track.times, np.arange(len(track.times)))).astype(int)
    return replace(track, times=grid, landmarks=at(track.landmarks), scores=at(track.scores), found=track.found[near],
                   matrices=at(track.matrices), change=track.change[near], faces=track.faces[near])  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """What the filters measured of one clip, and the score they add up to.

    Attributes:
        score: in [0, 1], geometric mean of how well sync, fit, head frame, size and completeness do.
        sync, offset_s, speech: of ``sync.py`` (NaN without sound or speech).
        residual_mm: median misfit of the fitted lips. misfit_mm: 95th percentile of the head frame's.
        eye_px: size of the face. replaced: share of frames that cleaning replaced.
    """

    score: float
    sync: float
    offset_s: float
    speech: float
    residual_mm: float
    misfit_mm: float
    eye_px: float
    replaced: float

    @classmethod
    def of(cls, fit: Fit, misfit: np.ndarray, size: np.ndarray, replaced: np.ndarray, said: Sync | None) -> Quality:
        """Measure a fitted stretch; all arrays (F,) at the video's frames."""
        residual, off = float(np.median(fit.residual_mm)), float(np.percentile(misfit, 95))
        pixels, share = float(np.median(size)), float(replaced.mean())
        parts = [np.exp(-residual / 1.0), np.exp(-max(off - 1.5, 0) / 4), min(1.0, pixels / 60), 1 - share]
        if said is not None:
            parts.append(np.clip(said.score / 0.6, 0.01, 1))
        return cls(
            score=float(np.clip(np.prod(parts) ** (1 / len(parts)), 0, 1)),
            sync=said.score if said else float("nan"),
            offset_s=said.offset_s if said else float("nan"),
            speech=said.speech if said else 0.0,
            residual_mm=residual, misfit_mm=off, eye_px=pixels, replaced=share,
        )  # fmt: skip

    def problem(self, f: Filters) -> str:
        """The first filter that this clip fails, in words, or ""."""
        if self.misfit_mm > f.max_misfit_mm:
            return f"head landmarks {self.misfit_mm:.1f} mm off, at most {f.max_misfit_mm:g}"
        if self.residual_mm > f.max_residual_mm:
            return f"lips fitted {self.residual_mm:.2f} mm off, at most {f.max_residual_mm:g}"
        if self.speech >= f.min_speech and abs(self.offset_s) > f.max_offset_s + 1e-6:
            return f"sound and mouth {1000 * self.offset_s:+.0f} ms apart, at most {1000 * f.max_offset_s:.0f}"
        if self.speech >= f.min_speech and self.sync < f.min_sync:
            return f"sound and mouth agree {self.sync:.2f}, expected {f.min_sync:g} or more"
        if self.score < f.min_quality:
            return f"quality {self.score:.2f}, expected {f.min_quality:g} or more"
        return ""

    def record(self) -> dict:
        """Plain rounded values; what is not known is None."""
        return {k: None if v != v else round(v, 4) for k, v in asdict(self).items()}


def motion_of(times: np.ndarray, weights: np.ndarray, rotvec: np.ndarray, travel: np.ndarray, seconds: float) -> dict:
    """Fitted motion at the video's ``times`` (F,) s as the motion fields of a clip of ``seconds``."""
    frames = int(np.ceil(seconds * FPS - 1e-9))
    return dict(
        weights=np.clip(to_clip_rate(times, weights, frames), 0, 1),
        weights_valid=Talker.valid(),
        head_rotvec=to_clip_rate(times, rotvec, frames),
        head_translation=to_clip_rate(times, travel, frames),
        head_valid=True,
    )


def clips_of_video(job: VideoJob, cache: Path, talker: Talker, out: Path, config: ExtractConfig) -> dict:
    """Write the clips of a tracked video to ``out``/TALKER/; returns its line of the manifest."""
    track = FaceTrack.load(cache)
    kept, rejected = stretches(track, config.filters)
    sound = Video(job.path).sound()
    if sound is None and config.filters.need_sound:
        rejected, kept = [Rejection(0.0, round(track.seconds, 3), "no sound")], []
    clips: list[dict] = []
    for stretch in kept:
        made, refused = _clips_of_stretch(job, track, stretch, talker, sound, out, config, len(clips))
        clips += made
        rejected += refused
    return {
        "video": str(job.path), "name": job.name, "talker": job.talker, "seconds": round(track.seconds, 3),
        "damaged": track.damaged, "clips": clips, "rejected": [asdict(r) for r in rejected],
    }  # fmt: skip


def _clips_of_stretch(
    job: VideoJob, track: FaceTrack, stretch: Stretch, talker: Talker, sound: tuple | None, out: Path,
    config: ExtractConfig, number: int,
) -> tuple[list[dict], list[Rejection]]:  # fmt: skip
    """Fit, clean, cut, check and write one stretch; ``number`` is that of its first clip."""
    part = track.part(stretch.first, stretch.last)
    bad = stretch.bridged
    smooth = even(part)
    if smooth is not part:
        bad = bad[np.round(np.interp(smooth.times, part.times, np.arange(len(bad)))).astype(int)]
        part = smooth
    own = _own_rest(talker, part)
    fit = own.fit(part)
    size, misfit = eye_px(part), own.misfit_mm(part)
    done = clean(fit.weights, fit.head_rotvec, fit.head_translation, size, bad, config.cleaning)
    # clips start on every third frame of the grid from time 0: 3 frames are 1600 samples exactly
    start = np.ceil(part.times[0] * 10 - 1e-6) / 10 if part.times[0] > 0.02 else 0.0
    end = float(part.times[-1]) + float(np.median(np.diff(part.times)))
    samples = None
    if sound is not None:
        samples, native, rate = sound
        heard_until = len(samples) / SAMPLE_RATE
        end = heard_until if abs(heard_until - end) <= MAX_DRIFT_S else min(end, heard_until)
    times = part.times - start
    made: list[dict] = []
    refused: list[Rejection] = []
    if end - start < config.filters.min_seconds - 1e-6:
        reason = f"too short: {max(end - start, 0):.2f} s with sound, expected {config.filters.min_seconds:g} s or more"
        return [], [Rejection(round(float(part.times[0]), 3), round(float(part.times[-1]), 3), reason)]
    motion = motion_of(times, done.weights, done.head_rotvec, done.head_translation, end - start)
    frames = len(motion["weights"])
    first_sample = round(start * SAMPLE_RATE)
    audio = None if samples is None else samples[first_sample : round(end * SAMPLE_RATE)]
    cuts = cut_points(audio, frames, config.filters.max_seconds)
    for a, b in zip(cuts[:-1], cuts[1:], strict=True):
        begin, finish = start + a / FPS, min(start + b / FPS, end)
        if finish - begin < config.filters.min_seconds - 1e-6:
            reason = f"too short: {finish - begin:.2f} s, expected {config.filters.min_seconds:g} s or more"
            refused.append(Rejection(round(begin, 3), round(finish, 3), reason))
            continue
        piece = None if audio is None else audio[a * SAMPLE_RATE // FPS : b * SAMPLE_RATE // FPS]
        inside = (times >= a / FPS - 1e-6) & (times < b / FPS)
        said = None if piece is None else sync(motion["weights"][a:b], piece)
        quality = Quality.of(
            replace(fit, residual_mm=fit.residual_mm[inside]), misfit[inside], size[inside], done.replaced[inside], said
        )
        if reason := quality.problem(config.filters):
            refused.append(Rejection(round(begin, 3), round(finish, 3), reason))
            continue
        clip_id = f"{job.name}_{number + len(made):02d}"
        latents = _decoder().latents(motion["weights"][a:b])
        clip = MotionClip(
            **{k: v[a:b] if isinstance(v, np.ndarray) and k != "weights_valid" else v for k, v in motion.items()},
            speaker=job.talker, source="video", split=hash_split(job.name), take=job.name, quality=quality.score,
            has_audio=piece is not None, latents=latents, latent_space=_decoder().fingerprint,
        )  # fmt: skip
        folder = out / job.talker
        path = clip.save(folder / f"{clip_id}.npz", piece)
        files = [path] + [path.with_suffix(".flac")] * (piece is not None)
        if piece is not None and config.original_audio:
            files.append(folder / f"{clip_id}.original.flac")
            with whole_file(files[-1]) as file:
                file.write(flac_bytes(native[round(begin * rate) : round(finish * rate)], rate))
        record = {"id": clip_id, "start": round(begin, 3), "end": round(finish, 3), "frames": clip.frames,
                  "split": clip.split, "quality": quality.record()}  # fmt: skip
        write_json(path.with_suffix(".json"), {"video": job.path.name, "talker": job.talker, **record})
        files.append(path.with_suffix(".json"))
        made.append({**record, "files": {str(p.relative_to(out)): sha256(p) for p in files}})
    return made, refused


def _own_rest(talker: Talker, part: FaceTrack) -> Talker:
    """The talker as this camera sees them: another size or direction of view has a rest pose of its own."""
    scale, angle = talker.view_change(part)
    return talker.seen_by(part) if abs(np.log(scale)) > _SAME_SIZE or angle > _SAME_POSE_DEG else talker
