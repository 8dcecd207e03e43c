"""Reading motion data for every training: a built dataset (``media2face data build``), or a plain folder of clips.

A built dataset is a folder of

    dataset.json      written last: format, shards with SHA-256 and size, totals; without it there is no dataset
    index.jsonl       one line per clip: labels, and where in which shard its files lie
    SPLIT-00000.tar   shards in WebDataset's layout: KEY.npz (data/clips.py), KEY.flac, KEY.json (texts, units)
    README.md, card.json, *.png   the data card

Tar files are not compressed, so a clip is read by seeking to it; a library for WebDataset reads them in sequence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from media2face.data.clips import MotionClip, decode_audio, iter_clips, read_clip_audio
from media2face.data.files import sha256
from media2face.runtime.errors import InputError

FORMAT = 1
MANIFEST, INDEX = "dataset.json", "index.jsonl"
MAX_MEMBER = 1 << 30


@dataclass(frozen=True)
class Entry:
    """One clip of a dataset: its labels, and where its files are.

    Attributes:
        key: its name in the dataset. name: that of the clip's file when it was made.
        split, source, speaker, take, style, intensity, frames, has_audio, quality: as of MotionClip.
        labels: ``emotion``, ``emotion_known``, ``actions`` of the texts; empty for a plain folder.
        file: the shard, or the clip's ``.npz``. members: suffix -> (offset, size) in the shard; None for a folder.
    """

    key: str
    name: str
    split: str
    source: str
    speaker: str
    take: str
    style: str
    intensity: float
    frames: int
    has_audio: bool
    quality: float
    file: Path
    members: dict[str, tuple[int, int]] | None = None
    labels: dict = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Whether people moved or animated this, rather than rules."""
        return self.source != "synthetic"

    def clip(self) -> MotionClip:
        """The motion.

        Raises:
            InputError: if it is damaged.
        """
        if self.members is None:
            return MotionClip.load(self.file)
        return MotionClip.from_bytes(self._read("npz"), self.key)

    def audio(self) -> np.ndarray:
        """The sound (n,) float32 at 16 kHz.

        Raises:
            InputError: if there is none or it is damaged.
        """
        if not self.has_audio:
            raise InputError(f"{self.key} has no sound; its has_audio says so")
        if self.members is None:
            return read_clip_audio(self.file)
        return decode_audio(self._read("flac"), self.key)

    def texts(self) -> dict:
        """The five levels of text and the units (see data/annotation), or an empty dict for a plain folder."""
        return {} if self.members is None else json.loads(self._read("json"))

    def _read(self, suffix: str) -> bytes:
        if suffix not in self.members:
            raise InputError(f"{self.key} holds no {suffix}")
        offset, size = self.members[suffix]
        try:
            with open(self.file, "rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise InputError(f"{self.file} cannot be read: {error}") from error
        if len(content) != size:
            raise InputError(f"{self.file} is shorter than its index says: run media2face data verify")
        return content


class MotionDataset:
    """The clips of a built dataset or a folder of clips, in a fixed order.

    Attributes:
        entries: all of them.
        manifest: the content of ``dataset.json``; empty for a plain folder.
    """

    def __init__(self, entries: list[Entry], manifest: dict | None = None) -> None:
        self.entries, self.manifest = entries, manifest or {}

    @classmethod
    def open(cls, path: str | Path) -> MotionDataset:
        """Read the index of a dataset, or look through a folder of clips.

        Raises:
            InputError: if there is neither, or the dataset is unfinished or incomplete.
        """
        path = Path(path)
        if (path / MANIFEST).is_file():
            return cls._built(path)
        if (path / ".work").is_dir() and list(path.glob("*-?????.tar")):
            raise InputError(f"{path} is a dataset that was not finished: run the same media2face data build again")
        entries = [_plain(p, c) for p, c in iter_clips(path)] if path.is_dir() else []
        if not entries:
            raise InputError(f"expected a dataset (with {MANIFEST}) or a folder of motion clips at {path}")
        return cls(entries)

    @classmethod
    def _built(cls, path: Path) -> MotionDataset:
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            rows = [json.loads(line) for line in (path / INDEX).read_text().splitlines()]
            if manifest["format"] != FORMAT:
                raise InputError(f"{path} has format {manifest['format']}, expected {FORMAT}: build it again")
            sizes = {s["name"]: s["bytes"] for s in manifest["shards"]}
            entries = [_entry(path, row, sizes) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is a damaged dataset ({error}): run media2face data verify {path}") from error
        for name, size in sizes.items():
            if not (path / name).is_file() or (path / name).stat().st_size != size:
                raise InputError(f"{path / name} is missing or of another size: run media2face data verify {path}")
        return cls(entries, manifest)

    def select(self, split: str | None = None, source: str | None = None) -> list[Entry]:
        """The entries of one split or source, where given."""
        return [e for e in self.entries if (split is None or e.split == split) and (source in (None, e.source))]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


def verify(path: str | Path, deep: bool = False) -> list[str]:
    """What is wrong with a built dataset, in words; nothing if every checksum holds.

    Args:
        deep: also read every clip and sound.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        return [f"{path} holds no {MANIFEST}: it was not built, or not to the end"]
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files = [*manifest["shards"], manifest["index"]]
        problems = [p for f in files if (p := _file_problem(path, f))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{path / MANIFEST} is damaged: {error}"]
    known = {f["name"] for f in files}
    problems += [f"{p.name} does not belong to the dataset" for p in sorted(path.glob("*.tar")) if p.name not in known]
    if deep and not problems:
        for entry in MotionDataset.open(path):
            try:
                entry.clip()
                entry.texts()
                if entry.has_audio:
                    entry.audio()
            except (InputError, ValueError) as error:
                problems.append(str(error))
    return problems


def _file_problem(path: Path, expected: dict) -> str:
    file = path / expected["name"]
    if not file.is_file():
        return f"{file.name} is missing"
    if file.stat().st_size != expected["bytes"]:
        return f"{file.name} has {file.stat().st_size} bytes, expected {expected['bytes']}"
    return "" if sha256(file) == expected["sha256"] else f"{file.name} is not what was written (SHA-256 differs)"


def _plain(path: Path, clip: MotionClip) -> Entry:
    return Entry(path.stem, path.stem, clip.split, clip.source, clip.speaker, clip.take or path.stem, clip.style,
                 clip.intensity, clip.frames, clip.has_audio, clip.quality, path)  # fmt: skip


def _entry(path: Path, row: dict, sizes: dict[str, int]) -> Entry:
    shard = row["shard"]
    members = {}
    for suffix, (offset, size) in row["members"].items():
        if not (0 <= offset <= offset + size <= sizes[shard]) or size > MAX_MEMBER:
            raise ValueError(f"{row['key']}.{suffix} lies outside {shard}")
        members[suffix] = (int(offset), int(size))
    values = {k: row[k] for k in ("key", "name", "split", "source", "speaker", "take", "style", "intensity", "frames",
                                  "has_audio", "quality", "labels")}  # fmt: skip
    return Entry(**values, file=path / shard, members=members)
