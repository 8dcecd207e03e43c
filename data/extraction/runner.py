"""Many videos to a folder of clips: planning, workers, and a manifest that survives a kill at any moment.

    OUT/TALKER/ID.npz, ID.flac, ID.json    clips (data/clips.py) with what was measured
    OUT/manifest.jsonl                     one line per finished video: its clips with checksums, its rejections
    OUT/rejected.jsonl                     one line per stretch left out, with the reason (written from the manifest)
    OUT/.work/                             landmarks of talkers under way; removed when their clips are done

A video counts as done once its line is in the manifest. Every file is written beside its place and renamed, so there is
never half a clip; whatever a kill interrupted is done again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from pathlib import Path

from media2face.data.extraction.pipeline import ExtractConfig, VideoJob, clips_of_video, learn_talker, track_video
from media2face.data.extraction.workers import LocalWorkers, RayWorkers
from media2face.data.files import Journal, sha256, sweep, whole_file
from media2face.runtime.errors import ConfigError, InputError

MANIFEST, REJECTED, WORK = "manifest.jsonl", "rejected.jsonl", ".work"
_UNSAFE = str.maketrans({c: "_" for c in '/\\:*?"<>| \t\n'})


def plan(videos: list[Path], talker: str, known: dict[str, dict]) -> list[VideoJob]:
    """Names and talkers of videos, the same in every run.

    Args:
        talker: ``file`` (each video its own), ``folder`` (the folder's name), or a name that all share.
        known: lines of the manifest by path: their names are kept.
    """
    taken = {line["name"]: path for path, line in known.items()}
    jobs = []
    for path in videos:
        name = known[str(path)]["name"] if str(path) in known else path.stem.translate(_UNSAFE)
        if taken.get(name, str(path)) != str(path):
            name = f"{name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        taken[name] = str(path)
        who = {"file": name, "folder": path.parent.name}.get(talker, talker).translate(_UNSAFE)
        jobs.append(VideoJob(path, name, who or "someone"))
    return jobs


@dataclass
class Summary:
    """What a run came to: videos done before and now, clips, their seconds, stretches left out."""

    before: int = 0
    videos: int = 0
    clips: int = 0
    seconds: float = 0.0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Extraction:
    """Extraction of videos into one folder.

    Args:
        out: the folder; made if missing.
        config: what to keep and how; must be that of earlier runs into the same folder.

    Raises:
        ConfigError: if the folder was begun with other settings.
    """

    def __init__(self, out: Path, config: ExtractConfig) -> None:
        for name in ("face_landmarker.task", "ict_face.npz", "ict_vertex_indices.json"):
            if not (config.data / name).is_file():
                raise ConfigError(f"expected {name} in {config.data}; see docs/dataset.md (--data)")
        self.out, self.config = out, config
        out.mkdir(parents=True, exist_ok=True)
        sweep(out)
        self.journal = Journal(out / MANIFEST)
        settings = json.loads(json.dumps(config.record()))
        if not self.journal.lines:
            self.journal.add({"format": 1, "settings": settings})
        elif self.journal.lines[0].get("settings") != settings:
            raise ConfigError(f"{out} was begun with other settings (first line of {MANIFEST}): use another folder")
        self.done = {line["video"]: line for line in self.journal.lines if "video" in line}

    def run(
        self, videos: list[Path], workers: LocalWorkers | RayWorkers, talker: str = "file",
        progress: Callable[[int, int], None] | None = None,
    ) -> Summary:  # fmt: skip
        """Extract what is not done yet; returns what there is in the end.

        Args:
            progress: called with (videos finished, clips made) as they come.

        Raises:
            InputError: if the disk is full; what is finished stays.
        """
        jobs = plan(videos, talker, self.done)
        todo = [j for j in jobs if not self._is_done(j)]
        summary = Summary(before=len(jobs) - len(todo))
        try:
            for line in self._work(todo, jobs, workers):
                summary.videos += 1
                if progress:
                    progress(1, len(line["clips"]))
        finally:
            self._write_rejected()
        for line in self.done.values():
            summary.clips += len(line["clips"])
            summary.seconds += sum(c["end"] - c["start"] for c in line["clips"])
            for r in line["rejected"]:
                summary.rejected += 1
                kind = r["reason"].split(",")[0].split(":")[0].rstrip("0123456789.%-+ ")
                summary.reasons[kind] = summary.reasons.get(kind, 0) + 1
        shutil.rmtree(self.out / WORK, ignore_errors=True)
        return summary

    def _is_done(self, job: VideoJob) -> bool:
        line = self.done.get(str(job.path))
        if line is None or line["stamp"] != _stamp(job.path):
            return False
        return all((self.out / name).is_file() for c in line["clips"] for name in c["files"])

    def _work(
        self, todo: list[VideoJob], jobs: list[VideoJob], workers: LocalWorkers | RayWorkers
    ) -> Iterator[dict]:
        """Track, learn, fit; yields finished lines. At most a few videos per worker are under way at a time.

        Landmarks are kept until all videos of a talker are done, so that a resumed run learns the same rest face.
        """
        groups: dict[str, list[VideoJob]] = {}
        for job in todo:
            groups.setdefault(job.talker, []).append(job)
        everyone: dict[str, list[VideoJob]] = {}
        for job in jobs:
            everyone.setdefault(job.talker, []).append(job)
        left = {talker: len(members) for talker, members in groups.items()}
        waiting = list(groups.items())[::-1]
        tracking: dict[str, set[str]] = {}
        running: dict = {}
        suspects: list[tuple] = []  # jobs under way when a process died: run again, each on its own
        alone = ""
        failed: set[str] = set()

        def start(step: str, job: VideoJob, *arguments) -> None:
            function = track_video if step == "track" else clips_of_video
            running[workers.submit(function, *arguments)] = (step, job, arguments)

        def finish(job: VideoJob, line: dict) -> dict:
            self._finish(job, line)
            left[job.talker] -= 1
            for member in everyone[job.talker] if not left[job.talker] else ():
                self._cache(member).unlink(missing_ok=True)
            return line

        def group_ready(talker: str) -> Iterator[dict]:
            members = [j for j in groups[talker] if self._cache(j).is_file() and j.name not in failed]
            if not members:
                return
            try:
                caches = [self._cache(j) for j in everyone[talker]]
                known = learn_talker([c for c in caches if c.is_file()], self.config)
            except InputError as error:
                for j in members:
                    yield finish(j, self._whole(j, str(error)))
                return
            shared = workers.share(known)
            for j in members:
                start("clips", j, j, self._cache(j), shared, self.out, self.config)

        while waiting or running or suspects:
            if suspects and not running:
                step, job, arguments = suspects.pop()
                alone = job.name
                start(step, job, *arguments)
            while waiting and not suspects and not alone and len(running) < 2 * workers.size:
                talker, members = waiting.pop()
                tracking[talker] = {j.name for j in members if not self._cache(j).is_file()}
                for j in members:
                    if j.name in tracking[talker]:
                        start("track", j, j.path, self._cache(j), self.config)
                if not tracking[talker]:
                    yield from group_ready(talker)
            if not running:
                continue
            for future in wait(list(running), return_when=FIRST_COMPLETED).done:
                step, job, arguments = running.pop(future)
                try:
                    result = future.result()
                except Exception as error:
                    if workers.died(error) and job.name != alone:
                        suspects.append((step, job, arguments))
                        continue
                    if isinstance(error, InputError) and "no room to write" in str(error):
                        raise
                    if not workers.died(error) and not isinstance(error, InputError):
                        raise
                    reason = "ends the process that works on it" if workers.died(error) else str(error)
                    result = reason if step == "track" else self._whole(job, reason)
                alone = "" if job.name == alone else alone
                if step == "clips":
                    yield finish(job, result)
                    continue
                tracking[job.talker].discard(job.name)
                if result:
                    failed.add(job.name)
                    yield finish(job, self._whole(job, result))
                if not tracking[job.talker]:
                    yield from group_ready(job.talker)

    def _cache(self, job: VideoJob) -> Path:
        size, changed = _stamp(job.path)
        return self.out / WORK / f"{job.name}.{size}.{changed}.npz"

    @staticmethod
    def _whole(job: VideoJob, reason: str) -> dict:
        """The manifest's line of a video of which nothing can be used."""
        return {"video": str(job.path), "name": job.name, "talker": job.talker, "seconds": None, "damaged": "",
                "clips": [], "rejected": [{"start": 0.0, "end": None, "reason": reason}]}  # fmt: skip

    def _finish(self, job: VideoJob, line: dict) -> None:
        line["stamp"] = _stamp(job.path)
        kept = {name for clip in line["clips"] for name in clip["files"]}
        for clip in self.done.get(line["video"], {"clips": []})["clips"]:  # of a video that has been replaced
            for name in set(clip["files"]) - kept:
                (self.out / name).unlink(missing_ok=True)
        self.journal.add(line)
        self.done[line["video"]] = line

    def _write_rejected(self) -> None:
        with whole_file(self.out / REJECTED) as file:
            for line in self.done.values():
                for r in line["rejected"]:
                    row = {"video": line["video"], "name": line["name"], **r}
                    file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def check_folder(out: Path) -> list[str]:
    """What is wrong with the clips of an extraction: missing or changed files, by their checksums."""
    problems = []
    latest = {line["video"]: line for line in Journal(out / MANIFEST).lines if "video" in line}
    for line in latest.values():
        for clip in line["clips"]:
            for name, digest in clip["files"].items():
                if not (out / name).is_file():
                    problems.append(f"{name} is missing")
                elif sha256(out / name) != digest:
                    problems.append(f"{name} is not what was written")
    return problems


def _stamp(path: Path) -> list[int]:
    """Size and time of change of a video: a changed one is done again."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
