"""Clips to a dataset of shards: texts, splits, checksums; a kill or a full disk costs one shard at most.

Shards and index are written beside their place and renamed; what is finished stands in a journal (``.work``), and
``dataset.json`` comes last. Run again with the same clips and settings, a build goes on where it ended; the same clips
give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from media2face.data.annotation.action_units import UNITS, frame_labels, level, unit_intensities
from media2face.data.annotation.endpoint import EndpointConfig, TextEndpoint
from media2face.data.annotation.rules import Texts, annotate
from media2face.data.annotation.timeline import head_angles
from media2face.data.clips import SPLITS, MotionClip
from media2face.data.dataset import FORMAT, INDEX, MANIFEST
from media2face.data.extraction.pipeline import hash_split
from media2face.data.files import Journal, sha256, sweep, whole_file, write_json
from media2face.runtime.errors import ConfigError, InputError

log = logging.getLogger(__name__)

WORK = ".work"
SPLITTING = ("keep", "take", "speaker")
POSE_BINS = np.linspace(-60, 60, 61)
"""Edges in degrees of the histograms of head angles; what lies beyond counts in the last bin."""


@dataclass(frozen=True)
class BuildConfig:
    """What a dataset is made of.

    Attributes:
        shard_clips: clips of one shard.
        split: ``keep`` the clips' own, or a hash (80/10/10) of the ``take`` or of the ``speaker``.
        min_quality: clips of less are left out.
        seed: of the wording of texts.
        endpoint: who writes the texts; None: rules.
    """

    shard_clips: int = 256
    split: str = "keep"
    min_quality: float = 0.0
    seed: int = 0
    endpoint: EndpointConfig | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.shard_clips <= 100_000:
            raise ConfigError(f"expected 1 to 100,000 clips in a shard, got {self.shard_clips}")
        if self.split not in SPLITTING:
            raise ConfigError(f"expected a split of {', '.join(SPLITTING)}, got {self.split!r}")
        if not 0 <= self.min_quality <= 1:
            raise ConfigError(f"expected min_quality in [0, 1], got {self.min_quality}")

    def record(self) -> dict:
        """Plain values that decide what comes out."""
        return {"shard_clips": self.shard_clips, "split": self.split, "min_quality": self.min_quality,
                "seed": self.seed, "endpoint": asdict(self.endpoint) if self.endpoint else None}  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """A clip and its place: key, file, split, and what names its state (size and time of change)."""

    key: str
    path: Path
    split: str
    take: str
    speaker: str
    stamp: tuple[int, int]


def plan(roots: list[Path], config: BuildConfig, progress: Callable[[], None] | None = None) -> list[Planned]:
    """Every clip below the folders, in order of path, with its key and split.

    Raises:
        InputError: if a folder holds none, two clips would share a key, or one take would lie in two splits.
    """
    out: list[Planned] = []
    for root in roots:
        paths = [p for p in sorted(root.rglob("*.npz")) if not any(x[0] == "." for x in p.relative_to(root).parts)]
        if not paths:
            raise InputError(f"no motion clips in {root}; media2face extract and the makers in data/ write them")
        prefix = f"{root.name}__" if len(roots) > 1 else ""
        for path in paths:
            clip = MotionClip.load(path)
            if progress:
                progress()
            if clip.quality < config.min_quality:
                continue
            if clip.has_audio and not path.with_suffix(".flac").is_file():
                raise InputError(f"no sound {path.with_suffix('.flac').name} beside {path}: extract or copy it again")
            take = clip.take or path.stem
            split = {"keep": clip.split, "take": hash_split(f"{clip.speaker}/{take}" if clip.take else take),
                     "speaker": hash_split(clip.speaker)}[config.split]  # fmt: skip
            key = prefix + "__".join(path.relative_to(root).with_suffix("").parts).replace(".", "_")
            status = path.stat()
            out.append(Planned(key, path, split, take, clip.speaker, (status.st_size, status.st_mtime_ns)))
    twice = [k for k, n in Counter(p.key for p in out).items() if n > 1]
    if twice:
        raise InputError(f"two clips would be named {twice[0]!r}: give folders of different names")
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for p in out:
        places[p.speaker, p.take].add(p.split)
    torn = [k for k, splits in places.items() if len(splits) > 1]
    if torn:
        raise InputError(f"take {torn[0][1]!r} of {torn[0][0]!r} lies in two splits: build with --split take")
    return out


def shards_of(planned: list[Planned], size: int) -> list[tuple[str, list[Planned]]]:
    """(name, clips) of each shard: by split, mixed by a hash of the key, so that every shard is a fair sample."""
    out = []
    for split in SPLITS:
        members = [p for p in planned if p.split == split]
        members.sort(key=lambda p: hashlib.sha256(p.key.encode()).digest())
        out += [(f"{split}-{i // size:05d}.tar", members[i : i + size]) for i in range(0, len(members), size)]
    return out


class Statistics:
    """Counts for the data card, apart for real and synthetic motion; plain values, so that they can be journaled."""

    def __init__(self, values: dict | None = None) -> None:
        self.values: dict[str, dict[str, dict]] = values or {}

    def add(self, clip: MotionClip, texts: Texts) -> None:
        """Count one clip."""
        mine = self.values.setdefault("synthetic" if clip.source == "synthetic" else "real", {})

        def count(group: str, name: str, amount: float = 1) -> None:
            table = mine.setdefault(group, {})
            table[name] = table.get(name, 0) + amount

        count("emotion", texts.emotion_label)
        for action in texts.actions:
            count("action", action)
        count("length", str(min(int(clip.duration * 2), 40)))
        for unit, track in unit_intensities(clip.weights, clip.weights_valid).items():
            if unit in UNITS and (seconds := float((level(track) >= 2).sum()) / clip.fps):
                count("unit", unit, round(seconds, 3))
        if clip.head_valid:
            for axis, track in head_angles(clip.head_rotvec).items():
                bins, counts = np.unique(np.clip(np.digitize(track, POSE_BINS) - 1, 0, len(POSE_BINS) - 2),
                                         return_counts=True)  # fmt: skip
                for b, n in zip(bins.tolist(), counts.tolist(), strict=True):
                    count(axis, str(b), n)

    def merge(self, other: dict) -> None:
        """Add the values of another one."""
        for kind, groups in other.items():
            for group, table in groups.items():
                mine = self.values.setdefault(kind, {}).setdefault(group, {})
                for name, amount in table.items():
                    mine[name] = mine.get(name, 0) + amount


class DatasetBuilder:
    """Builds one dataset folder.

    Args:
        out: the folder. config: see BuildConfig. endpoint: in place of the one that the config names.
        plots: whether the card gets its plots.
    """

    def __init__(
        self, out: Path, config: BuildConfig, endpoint: TextEndpoint | None = None, plots: bool = True
    ) -> None:
        self.out, self.config, self.plots = out, config, plots
        self.endpoint = endpoint or (TextEndpoint(config.endpoint) if config.endpoint else None)
        self._written: dict[str, dict] = {}

    def build(self, planned: list[Planned], progress: Callable[[int], None] | None = None) -> dict:
        """Write what is missing; returns the manifest.

        Args:
            progress: called with the number of clips done, also of those done before.

        Raises:
            InputError: if there is nothing to build, or no room; what is finished stays.
        """
        if not planned:
            raise InputError("no clip is left to build a dataset of: lower --min-quality")
        shards = shards_of(planned, self.config.shard_clips)
        digests = {name: self._digest(members) for name, members in shards}
        whole = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
        before = self._finished(whole)
        if before:
            if progress:
                progress(len(planned))
            return before
        (self.out / MANIFEST).unlink(missing_ok=True)
        sweep(self.out)
        journal = Journal(self.out / WORK / "shards.jsonl")
        texts = Journal(self.out / WORK / "texts.jsonl") if self.endpoint else None
        self._written = {row["id"]: row["texts"] for row in texts.lines} if texts else {}
        done = {row["name"]: row for row in journal.lines}
        for name, members in shards:
            row = done.get(name)
            file = self.out / name
            if not (row and row["digest"] == digests[name] and file.is_file() and sha256(file) == row["sha256"]):
                done[name] = self._write_shard(name, members, digests[name], texts)
                journal.add(done[name])
            if progress:
                progress(len(members))
        return self._finish([done[name] for name, _ in shards], planned, whole)

    def _finished(self, whole: str) -> dict | None:
        try:
            manifest = json.loads((self.out / MANIFEST).read_text())
            return manifest if manifest["format"] == FORMAT and manifest["plan"] == whole else None
        except (OSError, ValueError, KeyError):
            return None

    def _digest(self, members: list[Planned]) -> str:
        rows = [[p.key, str(p.path), p.split, *p.stamp] for p in members]
        return hashlib.sha256(json.dumps([FORMAT, self.config.record(), rows]).encode()).hexdigest()

    def _write_shard(self, name: str, members: list[Planned], digest: str, journal: Journal | None) -> dict:
        statistics, rows = Statistics(), []
        with whole_file(self.out / name) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for planned in members:
                row = {"key": planned.key, "shard": name, "members": {}}
                for suffix, content, values in self._contents(planned, statistics, journal):
                    row |= values
                    info = tarfile.TarInfo(f"{planned.key}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
                    row["members"][suffix] = [tar.offset - -(-len(content) // 512) * 512, len(content)]
                rows.append(row)
        path = self.out / name
        return {"name": name, "digest": digest, "sha256": sha256(path), "bytes": path.stat().st_size,
                "rows": rows, "statistics": statistics.values}  # fmt: skip

    def _contents(
        self, planned: Planned, statistics: Statistics, journal: Journal | None
    ) -> Iterator[tuple[str, bytes, dict]]:
        """(suffix, content, values for the index) of the files of one clip."""
        clip = MotionClip.load(planned.path)
        clip.split = planned.split
        clip.take = planned.take
        texts = self._texts(planned, clip, journal)
        statistics.add(clip, texts)
        values = {"name": planned.path.stem, "split": clip.split, "source": clip.source, "speaker": clip.speaker,
                  "take": planned.take, "style": clip.style, "intensity": round(clip.intensity, 4),
                  "frames": clip.frames, "has_audio": clip.has_audio, "quality": round(clip.quality, 4),
                  "labels": {"emotion": texts.emotion_label, "emotion_known": texts.emotion_known,
                             "actions": list(texts.actions)}}  # fmt: skip
        yield "npz", clip.to_bytes(), values
        if clip.has_audio:
            yield "flac", planned.path.with_suffix(".flac").read_bytes(), {}
        units = [[label, len(list(run))] for label, run in groupby(frame_labels(clip.weights, clip.weights_valid))]
        record = {k: v for k, v in values.items() if k != "labels"} | {
            "fps": clip.fps, "synthetic": clip.source == "synthetic", "texts": texts.record(), "units": units,
        }  # fmt: skip
        yield "json", (json.dumps(record, ensure_ascii=False) + "\n").encode(), {}

    def _texts(self, planned: Planned, clip: MotionClip, journal: Journal | None) -> Texts:
        texts = annotate(clip, planned.key, seed=self.config.seed)
        if self.endpoint is None or journal is None:
            return texts
        name = f"{planned.key}/{planned.stamp[0]}/{planned.stamp[1]}/{self.endpoint.config.model}"
        if name not in self._written:
            speaking = "talk" in texts.actions or "sing" in texts.actions
            self._written[name] = self.endpoint.rewrite(clip, texts, speaking).record()
            if set(self._written[name]["written_by"].values()) != {"rules"}:
                journal.add({"id": name, "texts": self._written[name]})
        values = dict(self._written[name])
        return Texts(**values | {"scenarios": tuple(values["scenarios"]), "actions": tuple(values["actions"])})

    def _finish(self, done: list[dict], planned: list[Planned], whole: str) -> dict:
        """Index, card and, last, the manifest."""
        from media2face.data.dataset_card import write_card

        rows = {row["key"]: row for shard in done for row in shard["rows"]}
        with whole_file(self.out / INDEX) as file:
            for p in planned:
                file.write((json.dumps(rows[p.key], ensure_ascii=False) + "\n").encode())
        statistics = Statistics()
        for shard in done:
            statistics.merge(shard["statistics"])
        ordered = [rows[p.key] for p in planned]
        written = Counter(self.endpoint.counts) if self.endpoint else Counter()
        totals = write_card(self.out, ordered, statistics.values, self.config.record(), dict(written), self.plots)
        names = {shard["name"] for shard in done}
        for stale in self.out.glob("*-?????.tar"):
            if stale.name not in names:
                stale.unlink()
        manifest = {
            "format": FORMAT, "plan": whole, "settings": self.config.record(), "totals": totals,
            "shards": [{k: s[k] for k in ("name", "sha256", "bytes")} | {"clips": len(s["rows"])} for s in done],
            "index": {"name": INDEX, "sha256": sha256(self.out / INDEX), "bytes": (self.out / INDEX).stat().st_size},
        }  # fmt: skip
        write_json(self.out / MANIFEST, manifest)
        shutil.rmtree(self.out / WORK, ignore_errors=True)
        return manifest
