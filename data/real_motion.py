"""Real motion as clips: GRID video tracked and fitted, FACEGOOD and LiveLink curves converted.

    python -m media2face.data.real_motion --data ../shared/data --out FOLDER [--limit N] [--jobs N]

writes FOLDER/{grid,facegood,livelink}/ID.npz (+ ID.flac) in the format of :mod:`media2face.data.clips`, and
FOLDER/rejected.json with the reason for each video left out. Landmarks are cached in FOLDER_tracks. Finished clips and
rejections are kept: run it again to go on. Splits: GRID, one talker, 80/10/10 by a hash of the clip's id; FACEGOOD by
take; LiveLink in blocks of its second take. Videos of one's own: ``media2face extract``, which shares this code.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from concurrent.futures import as_completed
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.data.clips import SAMPLE_RATE, MotionClip
from media2face.data.curve_takes import clips_of, read_facegood, read_livelink
from media2face.data.extraction.pipeline import MAX_DRIFT_S, hash_split, motion_of
from media2face.data.extraction.workers import LocalWorkers
from media2face.data.files import write_json
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
TALKER_CLIPS = 150
"""Tracks from which the talker's rest is learnt."""
FACEGOOD_SPLITS = {"2_05": "val", "3_15": "test"}
LIVELINK_SPLITS = {"rom_4": ["train"] * 9 + ["val"] * 2 + ["test"]}


def grid_clip(clip_id: str, track: FaceTrack, fit: Fit, seconds: float) -> MotionClip:
    """A fitted GRID video as a clip of ``seconds`` of sound."""
    return MotionClip(
        **motion_of(track.times, fit.weights, fit.head_rotvec, fit.head_translation, seconds),
        speaker="grid_s1",
        source="grid",
        split=hash_split(clip_id),
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


@lru_cache(maxsize=1)
def _tracker(model: Path) -> VideoTracker:
    return VideoTracker(model)


def _track(video: Path, cache: Path, model: Path) -> tuple[str, str]:
    """Track one video into its cache file; (id, reason it failed or '')."""
    try:
        _tracker(model).track(video).save(cache)
    except InputError as error:
        return video.stem, str(error).removeprefix(f"{video}: ")
    return video.stem, ""


def track_all(videos: list[Path], cache: Path, model: Path, jobs: int) -> dict[str, str]:
    """Landmarks of every video into ``cache``/ID.npz; returns {id: reason} of those that failed."""
    todo = [(v, cache / f"{v.stem}.npz") for v in videos if not (cache / f"{v.stem}.npz").is_file()]
    if not todo:
        return {}
    workers = LocalWorkers(min(jobs, len(todo)))
    try:
        futures = [workers.submit(_track, video, target, model) for video, target in todo]
        outcomes = [f.result() for f in tqdm(as_completed(futures), total=len(todo), desc="tracking", unit="clip")]
    finally:
        workers.close()
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
    write_json(report, dict(sorted(rejected.items())))
    log.info("done: %s; %d videos rejected, see rejected.json", args.out, len(rejected))


if __name__ == "__main__":
    main()
