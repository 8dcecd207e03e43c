"""``media2face evaluate motion``: the generator, its ablations and its baselines on takes nobody trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from media2face.evaluation import motion_report as report
from media2face.evaluation.lips import emodb_utterances, lip_rig
from media2face.evaluation.machine import describe
from media2face.evaluation.measured_face import measured_face
from media2face.evaluation.motion_rows import Sampled, Shared, available, rules_again, shuffled
from media2face.evaluation.motion_table import RowSpec, quiet_speed, run_row
from media2face.evaluation.motion_takes import Take, grid_takes, quiet_sounds, synthetic_takes
from media2face.evaluation.style_test import error_under_style, lips_under_style, style_accuracy
from media2face.runtime.audio_io import read_audio
from media2face.runtime.demo import demo_speech
from media2face.runtime.errors import ConfigError

PAPER_GUIDANCE = {"guidance_audio": 2.5, "guidance_style": 1.5}
"""s_A and s_P of section 5.1."""
NO_GUIDANCE = {"guidance_audio": 0.0, "guidance_style": 1.0}
DENOISER = "denoiser"


@dataclass
class MotionEvaluation:
    """What to evaluate, and on what.

    Attributes:
        data: folder of the study data (rig, emoji, EmoDB).
        clips: motion clips with GRID's test split, for the real rows; None leaves them out.
        speech: a corpus of synthetic speech, for the synthetic rows; None leaves them out.
        baselines: folder of exported baselines; None leaves their rows out.
        split: of takes and voices; the test split is for final figures.
        samples: seeds of the full model's row. takes, real_takes: how many synthetic and real ones. recordings: of
            EmoDB, for lips under style. each: prompts a way and emotion of the style test.
        keep: folder in which rows are kept, so that a run goes on where it ended.
        only: names of rows to make, or parts ``style`` and ``quiet``; empty is everything.

    Raises:
        ConfigError: if a number is too small.
    """

    data: Path
    clips: Path | None = None
    speech: Path | None = None
    baselines: Path | None = None
    split: str = "test"
    samples: int = 10
    takes: int = 14
    real_takes: int = 30
    recordings: int = 40
    each: int = 8
    keep: Path | None = None
    only: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("takes", 2), ("real_takes", 2), ("recordings", 2), ("each", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"expected {name} of at least {least}, got {getattr(self, name)}")

    def run(self) -> dict:
        """Everything, as plain values ready for JSON: ``rows``, ``style``, ``quiet``, ``goals``, ``missing``."""
        machine = describe()
        shared = Shared.load(measured_face(self.data))
        rig, missing = lip_rig(self.data), self._missing()
        groups = self._takes()
        results: report.Results = {}
        for spec, heard in self._specs(shared, groups):
            found = {k: run_row(spec, takes, shared, rig, self.keep) for k, takes in heard.items()}
            results.setdefault(spec.name, {}).update(found)
        shipped = Sampled(shared)
        out = {"machine": machine, "model": shipped.sampler.model.name,
               "setting": asdict(shipped.sampler.config), "missing": missing, "rows": results}
        if self._wanted("style"):
            out["style"] = self._style(shipped, groups)
        if self._wanted("quiet"):
            out["quiet_mm_s"] = quiet_speed(shipped, quiet_sounds(), rig)
        out["goals"] = report.goals(results, out.get("style"))
        return out

    def _wanted(self, name: str) -> bool:
        return not self.only or name in self.only

    def _missing(self) -> list[str]:
        hints = {
            "clips": "real takes (--clips: python -m media2face.data.real_motion)",
            "speech": "synthetic takes (--speech: python -m media2face.data.synthetic_speech)",
            "baselines": "baselines (--baselines: python -m media2face.training.train_baseline)",
        }
        return [text for name, text in hints.items() if getattr(self, name) is None]

    def _takes(self) -> dict[str, list[Take]]:
        groups = {}
        if self.clips is not None:
            groups["real"] = grid_takes(self.clips, self.real_takes, self.split)
        if self.speech is not None:
            groups["synthetic"] = synthetic_takes(self.speech, self.takes, split=self.split)
        return groups

    def _specs(self, shared: Shared, groups: dict[str, list[Take]]) -> list[tuple[RowSpec, dict[str, list[Take]]]]:
        """Every row that is wanted, and the takes it is made for."""
        full, teacher = Sampled(shared), Sampled(shared, DENOISER)
        plain = teacher.sampler.config
        rows: list[tuple[RowSpec, dict]] = [(RowSpec.of(report.FULL, full, self.samples), groups)]

        def add(name: str, row: Sampled, extra: str = "") -> None:
            rows.append((RowSpec.of(name, row, 1, extra), groups))

        if full.sampler.whole_config != full.sampler.config:
            add(report.WHOLE, Sampled(shared, config=full.sampler.whole_config))
        if full.sampler.model.name != DENOISER:
            add(f"denoiser, {plain.steps} steps", teacher)
        for name, guidance in ((report.UNGUIDED, NO_GUIDANCE), (report.GUIDED, PAPER_GUIDANCE)):
            if any(getattr(plain, k) != v for k, v in guidance.items()):
                add(name, Sampled(shared, DENOISER, config=replace(plain, **guidance)))
        baselines = available(self.baselines, shared)
        for name in sorted(baselines, key=[*report.BASELINE_NAMES, *baselines].index):
            add(report.BASELINE_NAMES.get(name, name), baselines[name])
        if "vertices" in baselines:
            cool = Sampled(shared, "vertices", self.baselines, replace(plain, temperature=plain.mouth_temperature))
            add(f"raw vertices, temperature {plain.mouth_temperature}", cool)
        for kind, takes in groups.items():
            control = Sampled(shared, other_speech=shuffled(takes))
            rows.append((RowSpec.of(report.SHUFFLED, control, 1, "shuffled"), {kind: takes}))
        if "synthetic" in groups:
            again = RowSpec(report.AGAIN, rules_again(shared), self.samples, "rules")
            rows.append((again, {"synthetic": groups["synthetic"]}))
        still = f"{full.sampler.model.fingerprint} mean"
        rows.append((RowSpec("mean face", full.mean_face(), 1, still), groups))
        return [(spec, takes) for spec, takes in rows if self._wanted(spec.name)]

    def _style(self, row: Sampled, groups: dict[str, list[Take]]) -> dict:
        said = [t.samples for t in groups.get("synthetic", [])] or [_demo_speech()]
        style = style_accuracy(row, said, self.data, self.each)
        if (self.data / "emodb_validation").is_dir():
            recordings = emodb_utterances(self.data / "emodb_validation")
            spread = np.linspace(0, len(recordings) - 1, min(self.recordings, len(recordings))).round().astype(int)
            style["lips"] = lips_under_style(row, [recordings[i] for i in spread], lip_rig(self.data))
        takes = groups.get("synthetic", []) or groups.get("real", [])
        if any(t.style == "neutral" for t in takes):
            style["lve"] = error_under_style(row, takes)
        return style


def _demo_speech() -> np.ndarray:
    return read_audio(demo_speech()).samples


def markdown(found: dict) -> str:
    """The whole report."""
    parts = [f"Shipped: {found['model']}, live setting {found['setting']}"]
    if found["missing"]:
        parts.append("Left out: " + "; ".join(found["missing"]))
    for kind in ("synthetic", "real"):
        if any(kind in kinds for kinds in found["rows"].values()):
            parts.append(f"### {kind} takes\n\n{report.table(found['rows'], kind)}")
    parts += report.samples_line(found["rows"])
    if any("synthetic" in kinds for kinds in found["rows"].values()):
        parts.append("### Liveliness (synthetic)\n\n" + report.liveliness(found["rows"]))
    if "style" in found:
        parts.append("### Style\n\n" + report.style_tables(found["style"]))
    if "quiet_mm_s" in found:
        parts.append("Lip speed while nobody speaks, mm/s: "
                     + ", ".join(f"{k} {v:.1f}" for k, v in found["quiet_mm_s"].items()))  # fmt: skip
    if found["goals"]:
        parts.append("### Goals\n\n" + report.goals_table(found["goals"]))
    return "\n\n".join(parts)
