"""Real motion as clips: GRID video tracked and fitted, FACEGOOD and LiveLink curves converted.

    python -m media2face.data.real_motion --data ../shared/data --out FOLDER [--limit N] [--jobs N]

writes FOLDER/{grid,facegood,livelink}/ID.npz (+ ID.flac) in the format of :mod:`media2face.data.clips`, and
FOLDER/rejected.json with the reason for each video left out. Landmarks are cached in FOLDER_tracks. Finished clips and
rejections are kept: run it again to go on. Splits: GRID, one talker, 80/10/10 by a hash of the clip's id; FACEGOOD by
take; LiveLink in blocks of its second take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from media2face.data.clips import FPS, SAMPLE_RATE, MotionClip
from media2face.data.curve_takes import clips_of, read_facegood, read_livelink
from media2face.data.fit import Fit, Talker
from media2face.data.rig import ICTRig
from media2face.data.tracking import FaceTrack, VideoTracker
from media2face.runtime.audio_io import read_audio
from media2face.runtime.errors import InputError

log = logging.getLogger(__name__)

MAX_LOST = 0.0
"""Share of frames without a face that a video may have: the face is in full view, so a lost frame is a broken one."""
MAX_MISFIT_MM = 2.5
"""Largest distance (rms) of the head frame's landmarks from the rigid face in any frame; broken pictures exceed it."""
MAX_SPIKE = 3.0
"""Largest excess (grey levels) of a frame's change over its neighbours': a decoder's recovery from a broken picture."""
MAX_DRIFT_S = 0.1
"""Largest difference of the lengths of picture and sound."""
TALKER_CLIPS = 150
"""Tracks from which the talker's rest is learnt."""
FACEGOOD_SPLITS = {"2_05": "val", "3_15": "test"}
LIVELINK_SPLITS = {"rom_4": ["train"] * 9 + ["val"] * 2 + ["test"]}

_tracker: VideoTracker | None = None


def grid_split(clip_id: str) -> str:
    """train, val or test (80/10/10) by a hash of the id, the same on every machine."""
    bucket = int(hashlib.sha256(clip_id.encode()).hexdigest(), 16) % 10
    return "val" if bucket == 0 else "test" if bucket == 1 else "train"


def to_clip_rate(times: np.ndarray, values: np.ndarray, frames: int) -> np.ndarray:
    """Values (F, ...) at ``times`` (F,) s on the grid k/30 s, k < frames, by cubic splines; ends are held.

    Lips close for one or two video frames: splines keep the closure that falls between two of them (on GRID 86 % of the
    bilabials at the start of words close to within 0.5 mm of rest; shape-preserving cubics leave 76 %).
    """
    grid = np.clip(np.arange(frames) / FPS, times[0], times[-1])
    return CubicSpline(times, values, axis=0)(grid).astype(np.float32)


def grid_clip(clip_id: str, track: FaceTrack, fit: Fit, seconds: float) -> MotionClip:
    """A fitted GRID video as a clip of ``seconds`` of sound."""
    frames = int(np.ceil(seconds * FPS - 1e-9))
    return MotionClip(
        weights=np.clip(to_clip_rate(track.times, fit.weights, frames), 0, 1),
        weights_valid=Talker.valid(),
        head_rotvec=to_clip_rate(track.times, fit.head_rotvec, frames),
        head_translation=to_clip_rate(track.times, fit.head_translation, frames),
        head_valid=True,
        speaker="grid_s1",
        source="grid",
        split=grid_split(clip_id),
    )


def check_track(talker: Talker, track: FaceTrack) -> None:
    """Refuse a track whose pictures are broken.

    Raises:
        InputError: with the reason.
    """
    lost = int((~track.found).sum())
    if lost > MAX_LOST * len(track.found):
        raise InputError(f"no face in {lost} of {len(track.found)} frames")
    change = track.change
    spike = change[1:-1] - np.maximum(change[:-2], change[2:])
    if len(spike) and spike.max() > MAX_SPIKE:
        raise InputError(f"picture jumps in frame {int(spike.argmax()) + 1}: the frames before it are broken")
    misfit = talker.misfit_mm(track)
    if misfit.max() > MAX_MISFIT_MM:
        raise InputError(f"head landmarks {misfit.max():.1f} mm off in frame {int(misfit.argmax())}: broken picture")


def _start_tracker(model: Path) -> None:
    global _tracker
    _tracker = VideoTracker(model)


def _track(job: tuple[Path, Path]) -> tuple[str, str]:
    """Track one video into its cache file; (id, reason it failed or '')."""
    video, cache = job
    try:
        _tracker.track(video).save(cache)
    except InputError as error:
        return video.stem, str(error).removeprefix(f"{video}: ")
    return video.stem, ""


def track_all(videos: list[Path], cache: Path, model: Path, jobs: int) -> dict[str, str]:
    """Landmarks of every video into ``cache``/ID.npz; returns {id: reason} of those that failed."""
    todo = [(v, cache / f"{v.stem}.npz") for v in videos if not (cache / f"{v.stem}.npz").is_file()]
    if not todo:
        return {}
    spawn = multiprocessing.get_context("spawn")  # the tracker's threads do not survive a fork
    with ProcessPoolExecutor(min(jobs, len(todo)), spawn, initializer=_start_tracker, initargs=(model,)) as pool:
        outcomes = tqdm(pool.map(_track, todo), total=len(todo), desc="tracking", unit="clip")
        return {clip_id: reason for clip_id, reason in outcomes if reason}


def make_grid(
    data: Path, out: Path, cache: Path, limit: int | None, jobs: int, known: dict[str, str]
) -> dict[str, str]:
    """GRID videos to clips in ``out``, but those ``known`` to be unusable; returns {id: reason} of all left out."""
    videos = sorted((data / "grid_s1").glob("*.mp4"))[:limit]
    if not videos:
        raise InputError(f"expected videos in {data / 'grid_s1'}; the data README says where GRID comes from")
    rejected = {v.stem: known[v.stem] for v in videos if v.stem in known}
    untried = [v for v in videos if v.stem not in rejected]
    rejected |= track_all(untried, cache, data / "face_landmarker.task", jobs)
    tracked = [v for v in videos if v.stem not in rejected]
    step = max(1, len(tracked) // TALKER_CLIPS)
    learning = [t for t in (FaceTrack.load(cache / f"{v.stem}.npz") for v in tracked[::step]) if t.found.all()]
    talker = Talker(ICTRig.load(data), learning)
    del learning
    for video in tqdm(tracked, desc="fitting", unit="clip"):
        target = out / f"{video.stem}.npz"
        if target.is_file():
            continue
        track = FaceTrack.load(cache / f"{video.stem}.npz")
        try:
            check_track(talker, track)
            sound = read_audio(video.with_suffix(".opus")).samples
            seconds = len(sound) / SAMPLE_RATE
            if abs(track.seconds - seconds) > MAX_DRIFT_S:
                raise InputError(f"{seconds:.2f} s of sound for {track.seconds:.2f} s of picture")
            grid_clip(video.stem, track, talker.fit(track), seconds).save(target, sound)
        except InputError as error:
            rejected[video.stem] = str(error)
    return rejected


def make_takes(data: Path, out: Path) -> None:
    """FACEGOOD and LiveLink takes to clips in ``out``/{facegood,livelink}."""
    takes = [(p, read_facegood) for p in sorted((data / "facegood").glob("*.npz"))]
    takes += [(p, read_livelink) for p in sorted((data / "livelink_rom").glob("*.npz"))]
    for path, read in tqdm(takes, desc="curve takes", unit="take"):
        take = read(path)
        splits = LIVELINK_SPLITS.get(take.name, [FACEGOOD_SPLITS.get(take.name, "train")])
        for clip_id, clip, sound in clips_of(take, splits):
            target = out / take.source / f"{clip_id}.npz"
            if not target.is_file():
                clip.save(target, sound)


def main(argv: list[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Real motion clips from GRID video, FACEGOOD and LiveLink curves.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    parser.add_argument("--tracks", type=Path, help="cache of landmarks (default: OUT_tracks)")
    parser.add_argument("--limit", type=int, help="use only the first N videos")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="tracking processes")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make_takes(args.data, args.out)
    cache = args.tracks or args.out.with_name(args.out.name + "_tracks")
    report = args.out / "rejected.json"
    known = json.loads(report.read_text()) if report.is_file() else {}
    rejected = make_grid(args.data, args.out / "grid", cache, args.limit, args.jobs, known)
    report.write_text(json.dumps(rejected, indent=1, sort_keys=True) + "\n")
    log.info("done: %s; %d videos rejected, see rejected.json", args.out, len(rejected))


if __name__ == "__main__":
    main()
