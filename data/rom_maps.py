"""The range-of-motion set as geometry maps on disk, for training: made once, read as memory maps.

    python -m media2face.data.rom_maps --data ../shared/data --motion MOTION --out CACHE --people 1200 --faces 20

A folder holds ``weights.npy`` (N, 52) f16, ``person.npy`` (N,) i32, ``real.npy`` (N,) bool (expressions of real takes),
``offsets.npy`` (N, 3, H, W) f16 cm, and per person ``neutrals.npy`` (P, 3, H, W) f32, the difference from the mean
identity as the engine rasters it, and ``lip_heights.npy`` (P, 6) f32, the inner lips (upper 61 62 63, lower 67 66 65)
at rest. Offsets hold lips that meet: what a scan would show. ``set.json`` is written last: a folder without it is
started anew.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from tqdm import tqdm

from ..runtime.errors import InputError
from .expressions import ExpressionSampler
from .face_asset import build as build_head
from .geometry_maps import FaceAtlas
from .range_of_motion import Person, RangeOfMotion, sample_identities
from .rig import INNER_LIP_PAIRS, ICTRig

REAL = ("range_of_motion", "tracked")
LIP_MARKS = tuple(pair[k] for k in (0, 1) for pair in INNER_LIP_PAIRS)


class MapMaker:
    """Turns people and expressions into maps.

    Attributes:
        raster: (H W, n) sparse: texels of per-vertex values, as ``runtime/rig_asset.py`` rasters a neutral.
        remap: (H W, H W) sparse: a fitted map to the raster of the mesh that it makes; E_geo reads such maps.
        lips: (6, H W) sparse: heights of the inner lips from a map.
        seal: (3, H, W) f32: how lips part, per cm of overlap (vertical), as maps.
    """

    def __init__(self, rom: RangeOfMotion) -> None:
        self.rom, atlas = rom, rom.atlas
        head = build_head(rom.rig, atlas)
        number = np.full(len(rom.rig.neutral), -1)
        number[atlas.charted] = np.arange(len(atlas.charted))
        corners = number[head["source"][head["neutral_corners"].astype(np.int64)]]
        texels = np.repeat(np.arange(len(corners)), 3)
        shape = (atlas.height * atlas.width, len(atlas.charted))
        shares = head["neutral_shares"].astype(np.float32).ravel()
        self.raster = sp.csr_matrix((shares, (texels, corners.ravel())), shape=shape)
        self.remap = (self.raster @ atlas.sampler).tocsr().astype(np.float32)
        self.lips = atlas.sampler[rom.landmarks[list(LIP_MARKS)]].tocsr()
        self.seal = atlas.to_map(rom.seal[:, :, None])[:, 0]

    def neutral(self, person: Person) -> np.ndarray:
        """(3, H, W) difference from the mean identity, cm."""
        moved = person.neutral - self.rom.rig.neutral[self.rom.vertices]
        return (self.raster @ moved).T.reshape(3, self.rom.atlas.height, self.rom.atlas.width)

    def lip_heights(self, person: Person) -> np.ndarray:
        """(6,) cm."""
        return person.neutral[self.rom.landmarks[list(LIP_MARKS)], 1]


@dataclass
class RomMaps:
    """A set read from its folder; arrays as in the module's text."""

    folder: Path
    atlas: str

    @classmethod
    def open(cls, folder: str | Path) -> RomMaps:
        """Raises InputError: if the folder holds no finished set."""
        file = Path(folder) / "set.json"
        if not file.is_file():
            raise InputError(f"expected a finished range-of-motion set in {folder}: python -m media2face.data.rom_maps")
        return cls(Path(folder), json.loads(file.read_text())["atlas"])

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in ("weights", "person", "real", "offsets", "neutrals", "lip_heights"):
            raise AttributeError(name)
        array = np.load(self.folder / f"{name}.npy", mmap_mode="r" if name == "offsets" else None, allow_pickle=False)
        setattr(self, name, array)
        return array

    @cached_property
    def real_rows(self) -> np.ndarray:
        """Rows whose expression is of a real take."""
        return np.flatnonzero(self.real)

    @cached_property
    def made_rows(self) -> np.ndarray:
        """Rows whose expression is made by rules."""
        return np.flatnonzero(~self.real)


def make(
    data: Path, out: Path, split: str, people: int, faces: int, motion: Path | None, height: int = 64, width: int = 80,
    seed: int = 0,
) -> None:
    """Write the set of a split: ``people`` identities with ``faces`` expressions each, about half of real takes."""
    rig = ICTRig.load(data)
    rom = RangeOfMotion(rig, FaceAtlas.build(rig, height, width))
    maker = MapMaker(rom)
    draw = ExpressionSampler(data, split, seed, motion)
    out.mkdir(parents=True, exist_ok=True)
    (out / "set.json").unlink(missing_ok=True)
    total = people * faces
    weights = np.zeros((total, len(rig.names)), np.float16)
    real = np.zeros(total, bool)
    offsets = np.lib.format.open_memmap(out / "offsets.npy", "w+", np.float16, (total, 3, height, width))
    neutrals = np.zeros((people, 3, height, width), np.float32)
    lips = np.zeros((people, len(LIP_MARKS)), np.float32)
    identities = sample_identities(people, split, len(rig.identity))
    for i, identity in enumerate(tqdm(identities, desc=f"{split} people")):
        person = rom.sampled(identity if i % 10 else None)  # a tenth of the set is the mean identity
        rows = slice(i * faces, (i + 1) * faces)
        half = faces // 2
        tracked = half // 2 if motion else 0
        parts = [draw.sample(half - tracked, "range_of_motion"), draw.sample(faces - half)]
        if tracked:
            parts.insert(1, draw.sample(tracked, "tracked"))
        weights[rows] = np.concatenate(parts)
        real[rows.start : rows.start + half] = True
        shown = rom.offsets(person, weights[rows].astype(np.float32))
        offsets[rows] = rom.atlas.to_map(shown)
        neutrals[i], lips[i] = maker.neutral(person), maker.lip_heights(person)
    offsets.flush()
    arrays = {"weights": weights, "person": np.repeat(np.arange(people, dtype=np.int32), faces), "real": real,
              "neutrals": neutrals, "lip_heights": lips}  # fmt: skip
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array)
    (out / "set.json").write_text(json.dumps({"atlas": rom.atlas.fingerprint, "split": split, "people": people}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--motion", type=Path, help="clips of tracked video (data/real_motion.py), optional")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--people", type=int, default=1200)
    parser.add_argument("--faces", type=int, default=20, help="expressions of each")
    parser.add_argument("--size", type=int, nargs=2, default=(64, 80), help="rows and columns of the maps")
    args = parser.parse_args()
    make(args.data, args.out, args.split, args.people, args.faces, args.motion, *args.size)


if __name__ == "__main__":
    main()
