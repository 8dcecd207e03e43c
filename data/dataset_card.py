"""The data card: a table with the columns of MMHead's table 1, and the distributions of its appendix A.3 as plots.

Real and synthetic motion are never added up without being shown apart.
"""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

from media2face.data.annotation.action_units import NOT_TOLD, UNITS
from media2face.data.clips import FPS, SPLITS
from media2face.data.files import whole_file, write_json

KINDS = {"real": "#3b6ea5", "synthetic": "#d08c3f"}
TECHNIQUE = {
    "grid": "monocular video, landmarks fitted", "video": "monocular video, landmarks fitted",
    "facegood": "animator's curves", "livelink": "phone capture", "synthetic": "rules (synthetic)",
}  # fmt: skip
PLOTS = {
    "lengths": "Length of clips", "emotions": "Emotions", "actions": "Actions", "units": "Action units, hours active",
    "head_pose": "Head pose",
}  # fmt: skip


def totals_of(rows: list[dict]) -> dict:
    """Figures of the rows of an index: clips, hours, speakers, takes, hours with sound."""
    return {
        "clips": len(rows),
        "hours": round(sum(r["frames"] for r in rows) / FPS / 3600, 4),
        "hours_with_sound": round(sum(r["frames"] for r in rows if r["has_audio"]) / FPS / 3600, 4),
        "speakers": len({(r["source"], r["speaker"]) for r in rows}),
        "takes": len({(r["source"], r["speaker"], r["take"]) for r in rows}),
        "emotion_known": sum(r["labels"]["emotion_known"] for r in rows),
    }


def write_card(
    out: Path, rows: list[dict], statistics: dict, settings: dict, asked: dict, plots: bool = True
) -> dict:
    """Write ``card.json``, ``README.md`` and the plots; returns the totals.

    Args:
        rows: of the index. statistics: of dataset_build.Statistics. settings: of the build.
        asked: what the text endpoint was asked and how many answers were kept, in the run that ended the build.
    """
    groups = {
        "all": totals_of(rows),
        "real": totals_of([r for r in rows if r["source"] != "synthetic"]),
        "synthetic": totals_of([r for r in rows if r["source"] == "synthetic"]),
    }
    sources = {s: totals_of([r for r in rows if r["source"] == s]) for s in sorted({r["source"] for r in rows})}
    splits = {
        f"{s}, {kind}": totals_of([r for r in rows if r["split"] == s and (r["source"] == "synthetic") == made])
        for s in SPLITS
        for kind, made in (("real", False), ("synthetic", True))
    }
    shared = defaultdict(set)
    for r in rows:
        shared[r["source"], r["speaker"]].add(r["split"])
    torn = sorted(f"{source}/{speaker}" for (source, speaker), found in shared.items() if len(found) > 1)
    card = {
        "totals": groups, "sources": sources, "splits": splits, "speakers_in_several_splits": torn,
        "talkers_unnamed": any(r["source"] == "video" and r["speaker"] == r["take"] for r in rows),
        "statistics": statistics, "settings": settings, "endpoint": asked, "units_not_told": NOT_TOLD,
    }  # fmt: skip
    pictures = _plots(out, statistics) if plots else []
    write_json(out / "card.json", card)
    with whole_file(out / "README.md") as file:
        file.write(_text(card, pictures).encode())
    return groups


def _text(card: dict, pictures: list[str]) -> str:
    head = ("| | motion | text | audio | Act. | Emo. | Exp. | Pose | Scn. | clips | hours | with sound | speakers "
            "| takes | FPS | representation | technique |\n|" + " --- |" * 17)  # fmt: skip

    def row(name: str, t: dict, technique: str) -> str:
        tick = "x" if t["clips"] else ""
        sound = "x" if t["hours_with_sound"] else ""
        return (f"| {name} | {tick} | {tick} | {sound} | {tick} | {tick} | {tick} | {tick} | {tick} | {t['clips']} | "
                f"{t['hours']:.2f} | {t['hours_with_sound']:.2f} | {t['speakers']} | {t['takes']} | {FPS} | "
                f"52 ARKit weights, head pose | {technique} |")  # fmt: skip

    lines = ["# Data card", "", "Face motion with sound and five levels of text. **Synthetic** motion is made by "
             "rules; **real** motion was captured from people or animated by hand.", "", head]  # fmt: skip
    lines += [row(f"**{k}**", t, "") for k, t in card["totals"].items()]
    lines += [row(k, t, TECHNIQUE.get(k, "")) for k, t in card["sources"].items()]
    lines += ["", "Columns as in MMHead's table 1; speakers of synthetic motion are voices.", "", "## Splits", "",
              "| split | clips | hours | speakers | takes |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    lines += [f"| {k} | {t['clips']} | {t['hours']:.2f} | {t['speakers']} | {t['takes']} |"
              for k, t in card["splits"].items()]  # fmt: skip
    torn = card["speakers_in_several_splits"]
    lines += ["", "No take lies in two splits. " + (
        f"Speakers in more than one split (kept apart by take): {', '.join(torn[:8])}{' ...' if len(torn) > 8 else ''}."
        if torn else "No speaker lies in two splits.")]  # fmt: skip
    if card["talkers_unnamed"]:
        lines += ["", "The talkers of some videos were not named: each file counts as a speaker there, so that one "
                  "person may lie in several splits (extract with --talker folder or --talker NAME)."]  # fmt: skip
    known, clips = card["totals"]["all"]["emotion_known"], card["totals"]["all"]["clips"]
    writer = (card["settings"]["endpoint"] or {}).get("model", "rules")
    lines += ["", "## Texts", "", f"Written by {writer}, seed {card['settings']['seed']}. The emotion of {known} of "
              f"{clips} clips is their source's label; the others' is what their face shows. Action units of MMHead's "
              f"41 that these weights cannot tell: {', '.join(card['units_not_told'])}."]  # fmt: skip
    if card["endpoint"]:
        asked = card["endpoint"]
        lines += ["", f"Asked {asked.get('asked', 0)} times, {asked.get('kept', 0)} answers kept, "
                  f"{asked.get('refused', 0)} not usable, {asked.get('failed', 0)} without an answer (rules' text "
                  "there)."]  # fmt: skip
    if pictures:
        lines += ["", "## Distributions", ""] + [f"![{PLOTS[p]}]({p}.png)" for p in pictures]
    return "\n".join(lines) + "\n"


def _plots(out: Path, statistics: dict) -> list[str]:
    """Write the plots; their names. None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return []

    def figure(width: float, height: float, columns: int = 1):
        made = Figure((width, height), dpi=80, layout="constrained")
        FigureCanvasAgg(made)
        return made, made.subplots(1, columns, squeeze=False)[0]

    def save(made, name: str) -> None:
        buffer = io.BytesIO()
        made.savefig(buffer, format="png", metadata={"Software": None})
        with whole_file(out / f"{name}.png") as file:
            file.write(buffer.getvalue())

    def bars(axis, group: str, names: list[str], shown: list[str], scale: float, text: str) -> None:
        left = [0.0] * len(names)
        for kind, colour in KINDS.items():
            values = [statistics.get(kind, {}).get(group, {}).get(n, 0) * scale for n in names]
            axis.barh(shown, values, left=left, color=colour, label=kind)
            left = [a + b for a, b in zip(left, values, strict=True)]
        axis.invert_yaxis()
        axis.set_xlabel(text)
        axis.legend(loc="lower right")

    def names_of(group: str) -> list[str]:
        total: dict[str, float] = defaultdict(float)
        for groups in statistics.values():
            for name, amount in groups.get(group, {}).items():
                total[name] += amount
        return sorted(total, key=lambda n: -total[n])

    for group, plot in (("emotion", "emotions"), ("action", "actions")):
        names = names_of(group)
        made, (axis,) = figure(7, 0.8 + 0.28 * max(len(names), 3))
        bars(axis, group, names, names, 1, "clips")
        axis.set_title(PLOTS[plot])
        save(made, plot)
    names = names_of("unit")
    made, (axis,) = figure(7, 0.8 + 0.24 * max(len(names), 3))
    bars(axis, "unit", names, [f"AU{n} {UNITS[n].name}" for n in names], 1 / 3600, "hours at intensity B or more")
    axis.set_title(PLOTS["units"])
    save(made, "units")
    made, (axis,) = figure(7, 3)
    for kind, colour in KINDS.items():
        table = statistics.get(kind, {}).get("length", {})
        axis.bar([int(k) / 2 for k in table], list(table.values()), 0.5, align="edge", color=colour, alpha=0.75,
                 label=kind)  # fmt: skip
    axis.set(xlabel="seconds", ylabel="clips", title=PLOTS["lengths"])
    axis.legend(loc="upper right")
    save(made, "lengths")
    made, axes = figure(10, 3, 3)
    from media2face.data.dataset_build import POSE_BINS

    for axis, angle, text in zip(axes, ("pitch", "yaw", "roll"), ("up / down", "right / left", "tilt left / right"),
                                 strict=True):  # fmt: skip
        for kind, colour in KINDS.items():
            table = statistics.get(kind, {}).get(angle, {})
            frames = sum(table.values()) or 1
            axis.bar([POSE_BINS[int(k)] for k in table], [v / frames for v in table.values()], 2.0, align="edge",
                     color=colour, alpha=0.65, label=kind)  # fmt: skip
        axis.set(xlabel=f"{angle}, degrees ({text})", ylabel="share of frames", xlim=(-30, 30))
        axis.legend(loc="upper right")
    save(made, "head_pose")
    return list(PLOTS)
