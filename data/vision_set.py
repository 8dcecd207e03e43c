"""Pictures and labels for the vision encoders, kept on disk as memory maps.

    python -m media2face.data.vision_set --data ../shared/data --out SET [--identities 1200] [--tracks TRACKS]

Two sources: synthetic pictures of random identities and expressions (``train`` and ``val``, other identities and the
held-out range of motion), and the frames of GRID's video labelled by the fit of :mod:`media2face.data.fit`
(``grid_train``, ``grid_val``, ``grid_test`` by clip). Finished parts are kept: run it again to go on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..runtime.decoder import FaceDecoder
from ..runtime.face_crop import SIDE_M, cut, face_middle
from ..runtime.rig_asset import RigAsset
from .expressions import ExpressionSampler
from .extraction.pipeline import hash_split
from .extraction.video import Video
from .extraction.workers import LocalWorkers
from .face_asset import identity_neutral
from .face_pictures import MARGIN, Studio, View, backdrop
from .fit import Talker
from .rig import ICTRig, from_ros
from .tracking import FaceTrack

SIZE = 128
"""Side of the stored pictures in pixels; the crop is their inner ``SIZE / MARGIN``."""
PER_IDENTITY = 16
LOOKS = 2
"""People and lights that each geometry is shown with."""
IDENTITY_LIMIT = 2.5
SEEDS = {"train": 11, "val": 12}
GRID_STRIDE = {"train": 5, "val": 5, "test": 1}
MAX_AWAY, MIN_LOST = np.cos(np.radians(68)), np.cos(np.radians(76))
"""Heads turned further than 76 degrees count as no face, up to 68 degrees as a face."""

LABEL = np.dtype(
    [
        ("z", "f4", 64), ("weights", "f4", 52), ("rotation", "f4", (3, 3)), ("centre", "f4", 2), ("side", "f4"),
        ("identity", "i4"), ("distance", "f4"), ("face", "f4"), ("gap", "f4"), ("clip", "i4"), ("done", "u1"),
    ]
)  # fmt: skip
"""One picture's truth. ``rotation``: head to camera, REP-103. ``centre`` and ``side``: the crop in the stored picture,
pixels. ``identity``: row of the split's coefficients, -1 for GRID's talker. ``distance``: of the camera, m.
``face``: 1 seen, 0 turned away, -1 between. ``gap``: GRID's tracked lip gap, mm. ``clip``: GRID's clip, -1."""


def identity_coefficients(split: str, row: int) -> np.ndarray:
    """ICT coefficients (100,) of one sampled identity; no identity is in two splits."""
    rng = np.random.default_rng([SEEDS[split], row])
    return np.clip(rng.normal(size=100), -IDENTITY_LIMIT, IDENTITY_LIMIT).astype(np.float32)


def facing(rotation: np.ndarray) -> float:
    """Label ``face`` of a head turned by ``rotation`` (3, 3)."""
    forward = rotation[0, 0]
    return 1.0 if forward > MAX_AWAY else 0.0 if forward < MIN_LOST else -1.0


class SyntheticPictures:
    """Draws pictures of one identity after another."""

    def __init__(self, data: Path, split: str, decoder: FaceDecoder | None = None, size: int = SIZE) -> None:
        self.split, self.decoder = split, decoder or FaceDecoder()
        self.rig = self.decoder.rig
        self.ict = ICTRig.load(data)
        self.studio = Studio(self.rig, size)
        self._data = data

    def neutral(self, row: int) -> np.ndarray:
        """Rest pose (V, 3) m of identity ``row``."""
        return identity_neutral(self.ict, self.rig, identity_coefficients(self.split, row))

    def pictures(self, row: int, count: int = PER_IDENTITY, looks: int = LOOKS) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (count * looks, S, S, 3) uint8 of identity ``row`` and their labels."""
        rng = np.random.default_rng([SEEDS[self.split], row, 1])
        weights = ExpressionSampler(self._data, self.split, int(rng.integers(2**31))).sample(count)
        z = self.decoder.latents(weights)
        neutral = self.neutral(row)
        images, labels = [], np.zeros(count * looks, LABEL)
        for k, vertices in enumerate(self.decoder.mesh(z, neutral)):
            view = View.sample(rng)
            cast = self.studio.cast(vertices, neutral, view)
            images += [self.studio.shade(cast, rng, backdrop(rng, self.studio.size)) for _ in range(looks)]
            label = labels[k * looks : (k + 1) * looks]
            label["z"], label["weights"], label["rotation"] = z[k], weights[k], view.rotation
            label["centre"], label["side"], label["identity"] = cast.centre, cast.side, row
            label["distance"], label["face"], label["clip"] = view.distance, facing(view.rotation), -1
        labels["done"] = 1
        return np.stack(images), labels


def grid_pictures(
    data: Path, tracks: Path, split: str, clips: int | None = None, decoder: FaceDecoder | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Clip by clip: its number, pictures (F, S, S, 3) uint8 and labels of GRID's frames."""
    decoder, rig = decoder or FaceDecoder(), ICTRig.load(data)
    files = sorted(tracks.glob("*.npz"))
    train = [f for f in files if hash_split(f.stem) == "train"]
    talker = Talker(rig, [FaceTrack.load(f) for f in train[::5]])
    middle = from_ros(_middle(decoder.rig))
    for number, file in enumerate([f for f in files if hash_split(f.stem) == split][:clips]):
        track = FaceTrack.load(file)
        _, (scale, rotation, shift) = talker.head_frame(track)
        fit = talker.fit(track)
        keep = [k for k in range(0, len(track.times), GRID_STRIDE[split]) if track.found[k]]
        labels = np.zeros(len(keep), LABEL)
        images = np.zeros((len(keep), SIZE, SIZE, 3), np.uint8)
        frames = dict(enumerate(p for _, p in Video(data / "grid_s1" / f"{file.stem}.mp4").frames()))
        for row, k in enumerate(k for k in keep if k in frames):
            place = scale[k] * rotation[k] @ middle + shift[k]
            side = scale[k] * SIDE_M * 100
            images[row] = cut(frames[k], place[:2] * [1, -1], MARGIN * side, SIZE)
            label = labels[row]
            label["weights"], label["rotation"] = fit.weights[k], rotation[k][np.ix_((2, 0, 1), (2, 0, 1))]
            label["centre"], label["side"], label["identity"] = (SIZE - 1) / 2, SIZE / MARGIN, -1
            label["face"], label["gap"], label["clip"], label["done"] = 1, fit.gap_mm[k], number, 1
        good = labels["done"] == 1
        labels["z"] = decoder.latents(labels["weights"])
        yield number, images[good], labels[good]


def _middle(rig: RigAsset) -> np.ndarray:
    marks = rig.neutral[rig.landmarks]
    return face_middle(marks, marks)[0]


class PictureSet:
    """A split on disk: ``images`` (N, S, S, 3) uint8 and ``labels`` (N,) of :data:`LABEL`, both memory maps."""

    def __init__(self, folder: Path, split: str, rows: int | None = None) -> None:
        image, label = folder / f"{split}_images.npy", folder / f"{split}_labels.npy"
        if rows is not None and not label.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(image, "w+", np.uint8, (rows, SIZE, SIZE, 3))
            np.lib.format.open_memmap(label, "w+", LABEL, (rows,))
        for file in (image, label):
            if not file.is_file():
                raise FileNotFoundError(
                    f"expected {file}, found none: make it with python -m media2face.data.vision_set"
                )
        mode = "r" if rows is None else "r+"
        self.images, self.labels = np.load(image, mmap_mode=mode), np.load(label, mmap_mode=mode)

    def write(self, first: int, images: np.ndarray, labels: np.ndarray) -> None:
        """Store pictures, then the labels that mark them as there."""
        self.images[first : first + len(images)] = images
        self.images.flush()
        self.labels[first : first + len(labels)] = labels
        self.labels.flush()

    def ready(self) -> np.ndarray:
        """Rows that are there."""
        return np.flatnonzero(self.labels["done"])


@lru_cache(maxsize=1)
def _source(data: Path, split: str) -> SyntheticPictures:
    return SyntheticPictures(data, split)


def _render(data: Path, folder: Path, split: str, row: int, block: int) -> None:
    PictureSet(folder, split, block).write(row * block, *_source(data, split).pictures(row))


def build_synthetic(data: Path, folder: Path, split: str, identities: int, jobs: int = 1) -> None:
    """Render what is missing of a synthetic split, in ``jobs`` processes."""
    block = PER_IDENTITY * LOOKS
    out = PictureSet(folder, split, identities * block)
    rows = len(out.labels) // block
    todo = [r for r in range(rows) if not out.labels["done"][r * block : (r + 1) * block].all()]
    if not todo:
        return
    workers = LocalWorkers(min(jobs, len(todo)))
    try:
        futures = [workers.submit(_render, data, folder, split, row, block) for row in todo]
        bar = tqdm(as_completed(futures), desc=split, unit="identity", initial=rows - len(todo), total=rows)
        for future in bar:
            future.result()
    finally:
        workers.close()


def build_grid(data: Path, tracks: Path, folder: Path, split: str, clips: int | None = None) -> None:
    """Cut and label GRID's frames, unless they are there."""
    if (folder / f"grid_{split}_labels.npy").is_file():
        return
    parts = [p for p in tqdm(grid_pictures(data, tracks, split, clips), desc=f"grid {split}", unit="clip")]
    if not parts:
        raise FileNotFoundError(f"expected tracks of GRID's {split} clips in {tracks}: see data/real_motion.py")
    out = PictureSet(folder, f"grid_{split}", sum(len(labels) for _, _, labels in parts))
    out.write(0, np.concatenate([i for _, i, _ in parts]), np.concatenate([labels for _, _, labels in parts]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--identities", type=int, default=1200, help="32 pictures each")
    parser.add_argument("--held-out", type=int, default=40, help="identities of the val split")
    parser.add_argument("--tracks", type=Path, help="GRID's landmarks as data.real_motion caches them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that render")
    args = parser.parse_args()
    if args.tracks:
        for split, clips in (("val", 30), ("test", 30), ("train", None)):
            build_grid(args.data, args.tracks, args.out, split, clips)
    build_synthetic(args.data, args.out, "val", args.held_out, args.jobs)
    build_synthetic(args.data, args.out, "train", args.identities, args.jobs)


if __name__ == "__main__":
    main()
