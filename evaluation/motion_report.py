"""What ``media2face evaluate motion`` says: the table of rows, the goals, and plots with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from media2face.evaluation.motion_metrics import bootstrap
from media2face.evaluation.motion_table import KINDS, LIP_FIGURES, best_column, column

FULL, REGRESSOR, SHUFFLED = "full model, as shipped", "regressor", "shuffled speech"
WHOLE = "full model, whole files"
AGAIN = "the rules, other seeds"
GUIDED, UNGUIDED = "guidance of the paper", "without guidance"
BASELINE_NAMES = {
    "full": "full model, equal minutes", "regressor": "regressor", "weights": "without GNPFA (52 weights)",
    "vertices": "raw vertices", "data10": "10 % of the data", "data40": "40 % of the data",
    "data70": "70 % of the data",
}  # fmt: skip
"""Names of files in the folder of baselines, and of their rows; other files keep their own name."""
FIGURES = {"lve": "LVE, mm", "fdd": "FDD, mm", "ba": "BA"}
Results = dict[str, dict[str, dict]]
"""Row -> kind of take -> what ``motion_table.run_row`` found."""


def interval(values: tuple[float, float, float] | list[float], digits: int = 2) -> str:
    """``0.12 (0.10 to 0.14)``, or a dash where there is nothing."""
    if not np.isfinite(values[0]):
        return "-"
    return f"{values[0]:.{digits}f} ({values[1]:.{digits}f} to {values[2]:.{digits}f})"


def table(results: Results, kind: str) -> str:
    """Markdown table of one kind of takes."""
    titles = ["row", *FIGURES.values(), "head beats made / true", "place AUC", "closure ratio", "rounding AUC"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    for name, kinds in results.items():
        if kind not in kinds:
            continue
        result = kinds[kind]
        cells = [interval(bootstrap(column(result, f)), 3 if f == "fdd" else 2) for f in FIGURES]
        made, true = column(result, "beats").sum(), column(result, "true_beats").sum()
        lips = [interval(result["lips"][k]) if k in result["lips"] else "-" for k in LIP_FIGURES]
        lines.append("| " + " | ".join([name, *cells, f"{made:.0f} / {true:.0f}", *lips]) + " |")
    return "\n".join(lines)


def paired(results: Results, kind: str, a: str, b: str, figure: str, ratio: bool = False) -> list[float] | None:
    """Row a less row b (or a / b) of one figure over the same clips, with its interval; None if one is missing."""
    if not all(kind in results.get(r, {}) for r in (a, b)):
        return None
    both = np.stack([column(results[r][kind], figure) for r in (a, b)], axis=1)

    def of(rows: np.ndarray) -> float:
        first, second = rows.mean(axis=0)
        return first / second if ratio else first - second

    return list(bootstrap(both, of))


def goals(results: Results, style: dict | None = None) -> list[dict]:
    """What issue and paper ask for, what was found, and whether it is met (by the figure, not by its interval)."""
    out: list[dict] = []

    def add(name: str, found: list[float] | None, met: bool | None, text: str) -> None:
        if found is not None:
            out.append({"goal": name, "found": found, "met": bool(met), "text": text})

    for kind in KINDS:
        gap = paired(results, kind, FULL, REGRESSOR, "lve")
        add(f"LVE no worse than the regressor's ({kind})", gap, gap and gap[0] <= 0, "difference, mm")
    share = paired(results, "synthetic", FULL, REGRESSOR, "fdd", ratio=True)
    add("FDD at least 30 % below the regressor's (synthetic)", share, share and share[0] <= 0.7, "ratio")
    for other in (SHUFFLED, REGRESSOR):
        gap = paired(results, "synthetic", FULL, other, "ba")
        add(f"BA above {other} (synthetic)", gap, gap and gap[0] > 0, "difference")
    for way in ("text", "emoji", "synonym"):
        found = (style or {}).get("ways", {}).get(way)
        if found:
            add(f"five emotions asked by {way} told apart", found["classifier"], found["classifier"][0] >= 0.9, "share")
    lips = (style or {}).get("lips")
    if lips:
        for name, sign in (("place_auc", -1), ("closure_ratio", 1)):
            worst = max((s for s in lips if s != "neutral"), key=lambda s: sign * lips[s][name][0])
            loss = sign * (lips[worst][name][0] - lips["neutral"][name][0])
            add(f"{name.replace('_', ' ')} loses at most 0.05 under style (worst: {worst})", [loss] * 3, loss <= 0.05,
                "loss")  # fmt: skip
    return out


def goals_table(found: list[dict]) -> str:
    """Markdown of :func:`goals`."""
    lines = ["| goal | found | met |", "| --- | --- | --- |"]
    for goal in found:
        met = "yes" if goal["met"] else "**no**"
        lines.append(f"| {goal['goal']} | {interval(goal['found'])} ({goal['text']}) | {met} |")
    return "\n".join(lines)


def samples_line(results: Results) -> list[str]:
    """LVE of one sample, the mean and the best of many, and how far seeds differ, one line a kind."""
    lines = []
    for kind, result in results.get(FULL, {}).items():
        count = result["samples"]
        if count < 2:
            continue
        one = bootstrap(np.array([c["lve"][0] for c in result["clips"]]))
        mean, best = (interval(bootstrap(f(result, "lve"))) for f in (column, best_column))
        apart = [interval(bootstrap(column(result, f"diversity_{k}"))) for k in ("lips", "upper", "head_deg")]
        lines.append(
            f"{kind}: LVE of one sample {interval(one)} mm, mean of {count} {mean}, best of {count} {best}; "
            f"seeds differ by {apart[0]} mm at the lips, {apart[1]} mm in the upper face, {apart[2]} degrees the head"
        )
    return lines


def liveliness(results: Results, rows: tuple[str, ...] = (FULL, REGRESSOR), kind: str = "synthetic") -> str:
    """Markdown table of head and brows: smoothness beside the truth and white noise of equal energy."""
    titles = ["row", "jitter head", "jitter brows", "energy < 3 Hz head", "brows", "head, deg", "BA"]
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]
    found = [r for r in rows if kind in results.get(r, {})]
    names = ("jitter_head", "jitter_brows", "slow_head", "slow_brows", "head_deg")
    for row in found:
        result = results[row][kind]
        cells = [f"{np.nanmean(column(result, n)):.2f}" for n in names]
        lines.append("| " + " | ".join([row, *cells, f"{np.nanmean(column(result, 'ba')):.2f}"]) + " |")
    if found:
        result = results[found[0]][kind]
        cells = [f"{np.nanmean(column(result, 'true_' + n)):.2f}" for n in names]
        lines.append("| " + " | ".join(["the rules themselves (synthetic)", *cells, "1"]) + " |")
        noise = f"{np.nanmean(column(result, 'noise_ba')):.2f}"
        deg = f"{np.nanmean(column(result, 'head_deg')):.2f}"
        lines.append(f"| white noise of the first row's energy | 1.73 | 1.73 | 0.20 | 0.20 | {deg} | {noise} |")
    return "\n".join(lines)


def style_tables(style: dict) -> str:
    """Markdown of the style test."""
    lines = [
        f"The classifier tells {style['judge']:.0%} of performances of other seeds (synthetic).",
        "",
        "| asked by | prompts | classifier | EMFACS rule | by emotion |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, found in style["ways"].items():
        each = ", ".join(f"{e} {v:.2f}" for e, v in found["by_emotion"].items())
        lines.append(f"| {way} | {found['prompts']} | {interval(found['classifier'])} | {interval(found['emfacs'])} "
                     f"| {each} |")  # fmt: skip
    if "lips" in style:
        lines += ["", "| style | place AUC | closure ratio | rounding AUC | lag |", "| --- | --- | --- | --- | --- |"]
        for name, row in style["lips"].items():
            cells = [interval(row[k]) for k in LIP_FIGURES]
            lines.append("| " + " | ".join([name, *cells, str(row["lag_frames"])]) + " |")
    if "lve" in style:
        lines += ["", "LVE under style, each clip's mean lip offset removed, mm: "
                  + "; ".join(f"{k} {interval(v)}" for k, v in style["lve"].items())]  # fmt: skip
    return "\n".join(lines)


def plot(results: Results, folder: Path, kind: str = "synthetic") -> Path:
    """``<folder>/motion_<kind>.png``: LVE, FDD and BA of every row with their intervals; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [r for r in results if kind in results[r]]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 0.34 * len(rows) + 1.2), sharey=True)
    for axis, (name, title) in zip(axes, FIGURES.items(), strict=True):
        found = np.array([bootstrap(column(results[r][kind], name)) for r in rows])
        place = np.arange(len(rows))[::-1]
        colours = ["tab:blue" if r.startswith("full") else "0.45" for r in rows]
        axis.barh(place, found[:, 0], color=colours, height=0.6)
        reach = np.abs(found[:, 1:] - found[:, :1]).T
        axis.errorbar(found[:, 0], place, xerr=reach, fmt="none", ecolor="k", capsize=2)
        axis.set_yticks(place, rows)
        axis.set_title(f"{title} ({'higher' if name == 'ba' else 'lower'} is better)", fontsize=9)
        axis.grid(axis="x", alpha=0.3)
    figure.suptitle(f"{kind} takes, 95 % intervals over clips", fontsize=9)
    figure.tight_layout()
    path = folder / f"motion_{kind}.png"
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
    return path
