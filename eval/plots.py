"""Figures as SVG and PNG, each a pure function of the long table and the sidecars.

Those of the main comparison take (scores, facts, path, entries, columns), the columns of its table; a figure about one
thing leaves them aside.

Contenders take the colours of Okabe and Ito's colour-blind safe palette and a marker each; controls are grey. Curves
have a panel per entry, in which a colour is a base model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy import stats

from eval.files import replacing
from eval.metric import METRICS, Metric, card
from eval.records import labels_of, told
from eval.statistics import CONFIDENCE, SEED, Estimate, estimate, kaplan_meier
from eval.tables import SECONDS, Table, cost

STYLE = Path(__file__).with_name("style.mplstyle")
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*<>h"  # as many as share no divisor with the colours: pairs repeat late
CONTROL_COLOURS = ("#8a8a8a", "#b0b0b0", "#6a6a6a", "#c4c4c4", "#444444")
CONTROL_MARKERS = "osD^p"  # hollow
DASHES = ((None, None), (5, 1.5), (2, 1.2), (6, 1.5, 1.5, 1.5), (8, 2), (1, 1), (4, 1, 1, 1), (3, 3))
SEEN = 3.0  # deviations of harm: the darkest colour of the matrix of faults
CONTROL_DASHES = ((1, 1), (1, 2.5), (3, 2, 1, 2), (6, 3), (4, 1, 1, 1, 1, 1))
FAINT = "#dcdcdc"  # what stands behind
PANELS = 6  # side by side, of figures with a panel per entry


@dataclass(frozen=True)
class Look:
    """How an entry is drawn, the same in every figure of a suite."""

    label: str
    colour: str
    marker: str
    dashes: tuple
    control: bool


def looks(scores: pd.DataFrame, facts: pd.DataFrame, entries: Sequence[str] | None = None) -> dict[str, Look]:
    """Entry -> look, by its place in `entries` (default: as they come in `scores`)."""
    entries = list(dict.fromkeys(scores["entry"])) if entries is None else list(entries)
    labels = labels_of(facts, scores["entry"])
    controls = set(facts.loc[facts["control"].eq(True), "entry"])
    found, contenders, bracketing = {}, 0, 0
    for entry in [entry for entry in entries if entry in labels]:
        if entry in controls:
            i, bracketing = bracketing, bracketing + 1
            kinds = CONTROL_COLOURS, CONTROL_MARKERS, CONTROL_DASHES
        else:
            i, contenders = contenders, contenders + 1
            kinds = COLOURS, MARKERS, DASHES
        found[entry] = Look(labels[entry], *(kind[i % len(kind)] for kind in kinds), entry in controls)
    return found


def comparison(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Every metric of every entry with its interval: a panel per metric, a row of panels per base model."""
    drawn, bases = looks(scores, facts, entries), list(dict.fromkeys(scores["base"]))
    width, height = 1.35 * len(columns) + 1.2, 0.26 * len(drawn) + 0.75
    with _figure(path, len(bases), len(columns), width, height) as (figure, axes):
        for base, line in zip(bases, axes, strict=True):
            for column, axis in zip(columns, line, strict=True):
                for place, (entry, look) in enumerate(drawn.items()):
                    found = _found(scores, base, entry, column)
                    if found is not None:
                        _point(axis, [found.mean], [place], look, column, horizontal=found)
                    elif axis is line[0] and not (scores[scores["base"] == base]["entry"] == entry).any():
                        axis.text(0.04, place, "not run", transform=axis.get_yaxis_transform(), va="center",
                                  fontsize=7, color="#6a6a6a")  # fmt: skip
                axis.set_title(f"{column.short}{_unit(column)}{_arrow(column)}")
                axis.set_ylim(len(drawn) - 0.5, -0.5)
                axis.set_yticks(range(len(drawn)), [look.label for look in drawn.values()])
                axis.tick_params(axis="y", length=0, labelleft=axis is line[0])
                axis.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
            _name_base(line[0], base, bases)
        figure.subplots_adjust(wspace=0.14, hspace=0.18)
    return _written(path)


def drift(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Similarity to the first window against time, mean over videos with the band of the mean over prompts."""
    return _against_time(scores, facts, path, entries, "drift", _by_prompt, "similarity to the first window")


def survival(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
    metric: str = "identity",
) -> list[Path]:
    """Share of videos that have not lost their subject yet (Kaplan and Meier), against time.

    metric: its value is the share of the video until the loss, 1 where there is none.
    """

    def curve(part: pd.DataFrame) -> np.ndarray:
        lived = np.rint(part["value"] * part["frames"]).astype(int)
        deaths = [None if value == 1 else int(end) for value, end in zip(part["value"], lived, strict=True)]
        return kaplan_meier(deaths, part["frames"].tolist())

    ylabel = "share that keeps its subject"
    return _against_time(scores, facts, path, entries, metric, curve, ylabel, steps=True)


def lags(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Mean cosine of subject features against their distance, 1, 2, 4, .. frames: to look at beside drift."""

    def curve(part: pd.DataFrame) -> np.ndarray:
        shortest = min(map(len, part["series"]))
        return np.mean([series[:shortest] for series in part["series"]], axis=0)

    return _against_time(scores, facts, path, entries, "lag_mean", curve, "mean similarity", doubling=True)


def _against_time(scores, facts, path, entries, metric, curve, ylabel, doubling: bool = False, steps: bool = False):
    """A panel per entry with a curve per base model, made of its rows of one metric, in front of those of all others.

    curve: those rows -> a line, or one per prompt, whose mean is drawn with its band.
    """
    drawn, bases, found = looks(scores, facts, entries), list(dict.fromkeys(scores["base"])), {}
    rates = {base: facts.loc[facts["base"] == base, "fps"].unique() for base in bases}
    timed = not doubling and all(len(own) == 1 for own in rates.values())
    own = scores[(scores["metric"] == metric) & scores["value"].notna() & scores["entry"].isin(drawn)]
    for (base, entry), part in own.groupby(["base", "entry"]):
        lines = np.atleast_2d(curve(part))
        ticks = np.arange(lines.shape[1])
        found[base, entry] = (2**ticks if doubling else ticks / (rates[base][0] if timed else 1), lines)
    shown = [entry for entry in drawn if any((base, entry) in found for base in bases)]
    columns = min(PANELS, max(1, len(shown)))
    rows, behind = -(-max(1, len(shown)) // columns), len(shown) > 1 and not steps  # steps would look like a grid
    with _figure(path, rows, columns, 1.55 * columns + 0.8, 1.5, share_y=True, share_x=True) as (figure, axes):
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        for axis, entry in zip(axes.flat, shown, strict=False):
            for time, lines in (curves for (_, other), curves in found.items() if behind and other != entry):
                some = slice(None, None, max(1, len(time) // 24))
                axis.plot(time[some], lines.mean(0)[some], color=FAINT, linewidth=0.5, zorder=1)
            for place, base in enumerate(bases):
                if (base, entry) in found:
                    _curve(axis, *found[base, entry], place, drawn[entry].control, steps)
            if doubling:
                axis.set_xscale("log", base=2)
                axis.xaxis.set_major_formatter("{x:g}")
            else:
                axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            slanted = dict(style="italic", fontweight="normal") if drawn[entry].control else {}
            axis.set_title(drawn[entry].label, fontsize=7, **slanted)
        for axis in axes.flat[max(0, len(shown) - columns) : len(shown)]:
            axis.tick_params(labelbottom=True)
        figure.supxlabel("frames apart" if doubling else "time (s)" if timed else "frame", fontsize=8.5, y=0.0)
        figure.supylabel(ylabel, fontsize=8.5, x=0.06)
        handles = [
            Line2D([], [], color=COLOURS[i % len(COLOURS)], dashes=DASHES[i % len(DASHES)], label=base)
            for i, base in enumerate(bases)
        ]
        if behind:
            handles.append(Line2D([], [], color=FAINT, linewidth=0.8, label="the others"))
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.93), ncols=len(handles))
        figure.subplots_adjust(wspace=0.1, hspace=0.35)
    return _written(path)


def _curve(axis: Axes, time: np.ndarray, lines: np.ndarray, place: int, control: bool, steps: bool) -> None:
    """The mean of lines with its band, in the look of a base model."""
    colour, dashes = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    style = "steps-post" if steps else "default"
    axis.plot(time, lines.mean(0), color=colour, dashes=dashes, linewidth=1.3, drawstyle=style)
    if len(lines) > 1 and not control:
        axis.fill_between(time, *_band(lines), color=colour, alpha=0.15, linewidth=0)


def faults(matrix: pd.DataFrame, path: str | Path) -> list[Path]:
    """Which metric sees which fault: a cell per pair, its colour the effect, its word what the metric makes of it.

    matrix: as `sensitivity.matrix` returns it, in the order in which rows and columns are drawn.
    """
    metrics, names = (list(dict.fromkeys(matrix[column])) for column in ("metric", "fault"))
    table = matrix.pivot(index="metric", columns="fault").reindex(index=metrics)
    with _figure(path, 1, 1, width=0.62 * len(names) + 2.4, height=0.3 * len(metrics) + 1.0) as (figure, axes):
        axis = axes[0][0]
        shown = axis.imshow(table["effect"][names], cmap="RdBu", vmin=-SEEN, vmax=SEEN, aspect="auto")
        for y, metric in enumerate(metrics):
            for x, fault in enumerate(names):
                effect, verdict = table["effect"].loc[metric, fault], table["verdict"].loc[metric, fault]
                if not pd.isna(effect):
                    strong = abs(effect) > 0.7 * SEEN
                    weight = "normal" if verdict == "blind" else "bold"
                    word = f"{effect:+.1f}".replace("-", "−") + ("" if verdict == "blind" else f"\n{verdict}")
                    colour = "white" if strong else "#6a6a6a" if verdict == "blind" else "black"
                    axis.text(x, y, word, ha="center", va="center", fontsize=6, color=colour, weight=weight)
        axis.set_xticks(range(len(names)), names, rotation=35, ha="left")
        axis.set_yticks(range(len(metrics)), [card(metric).label for metric in metrics])
        axis.tick_params(length=0, labeltop=True, labelbottom=False, top=False, bottom=False)
        axis.grid(False)
        figure.colorbar(
            shown, ax=axis, label="harm in deviations (red: better with the fault)", fraction=0.03, pad=0.01
        )
    return _written(path)


def consistency_motion(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Quality against motion: a frozen video stands in the upper left corner."""
    motion = METRICS.get("motion")
    words = f"{motion.label} ({motion.unit} of the short side per frame)"
    return _scatter(
        scores, facts, path, entries, columns, words, lambda *place: _found(scores, *place, motion), motion.scale
    )


def cost_quality(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Quality against seconds per frame (logarithmic)."""
    spent = {(row.base, row.entry): row.cells[SECONDS.name].estimate for row in cost(facts).rows}

    def seconds(base: str, entry: str) -> Estimate | None:
        found = spent.get((base, entry))
        return Estimate(found.mean, None, None, 0, 0, 0) if found and found.mean else None

    return _scatter(scores, facts, path, entries, columns, "seconds per frame", seconds, log=True)


def ablation(table: Table, path: str | Path, columns: Sequence[str] = ("overall", "motion", "drift")) -> list[Path]:
    """The rows of an ablation's table (`tables.comparison`) in its order, a panel per metric, a line per base model."""
    chosen = [column for column in table.columns if column.name in columns] or list(table.columns[:3])
    bases = list(dict.fromkeys(row.base for row in table.rows))
    words = list(dict.fromkeys(row.words[1] for row in table.rows))
    with _figure(path, 1, len(chosen), width=2.7 * len(chosen) + 0.6, height=2.6) as (figure, axes):
        for column, axis in zip(chosen, axes[0], strict=True):
            for i, base in enumerate(bases):
                rows = [
                    row for row in table.rows if row.base == base and row.cells[column.name].estimate.mean is not None
                ]
                places = [words.index(row.words[1]) + 0.08 * (i - (len(bases) - 1) / 2) for row in rows]
                look = Look(base, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)], False)
                values = [row.cells[column.name].estimate.mean * column.scale for row in rows]
                axis.plot(places, values, color=look.colour, dashes=look.dashes, linewidth=1, alpha=0.6)
                for place, row in zip(places, rows, strict=True):
                    found = row.cells[column.name].estimate
                    _point(axis, [place], [found.mean], look, column, vertical=found, scale_x=1)
            crowded = max(map(len, words)) * len(words) > 35
            axis.set_xticks(range(len(words)), words)
            axis.tick_params(axis="x", labelrotation=30 if crowded else 0)
            for label in axis.get_xticklabels() if crowded else ():
                label.set(ha="right", rotation_mode="anchor")
            axis.set_xlim(-0.5, len(words) - 0.5)
            axis.set_title(f"{column.label}{_unit(column)}{_arrow(column)}")
        if len(bases) > 1:
            _legend(axes[0])
        figure.subplots_adjust(wspace=0.3)
    return _written(path)


def against(tables: Sequence[Table], path: str | Path, across: str, up: Sequence[str]) -> list[Path]:
    """The rows of several tables in one plane: a panel per metric of `up` over the column `across`, a look per table.

    Above each panel stands the rank correlation over all different rows, where both vary.
    """
    columns = {column.name: column for column in tables[0].columns}
    different = {
        row.entry: row for table in tables for row in table.rows if row.cells[across].estimate.mean is not None
    }
    with _figure(path, 1, len(up), width=2.7 * len(up) + 0.6, height=2.6) as (_, axes):
        for axis, name in zip(axes[0], up, strict=True):
            for i, table in enumerate(tables):
                look = Look(table.name, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[0], False)
                for row in (row for row in table.rows if row.entry in different):
                    x, y = row.cells[across].estimate, row.cells[name].estimate
                    _point(axis, [x.mean], [y.mean], look, columns[name], vertical=y, scale_x=columns[across].scale)
            pairs = np.array([[row.cells[c].estimate.mean for c in (across, name)] for row in different.values()])
            ranked = len(pairs) > 2 and all(np.ptp(pairs, axis=0))
            rank = f", ρ = {stats.spearmanr(pairs).statistic:.2f}" if ranked else ""
            axis.set_title(f"{columns[name].label}{_unit(columns[name])}{rank}")
            axis.set_xlabel(f"{columns[across].label}{_unit(columns[across])}")
        _legend(axes[0])
    return _written(path)


def reflection(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Self-reflection in one video: the score while noisy, where it fell and a search began, what was adopted.

    The video is the one with the most searches among `entries`. The thin line is the same score of the clean frames.
    """
    shown = [fact for fact in facts.itertuples() if entries is None or fact.entry in entries]
    traces = [(fact, told(fact.trace, "reflection"), told(fact.trace, "consistency")) for fact in shown]
    traces = [found for found in traces if len(found[1])]
    with _figure(path, 1, 1, width=6.4, height=2.9) as (_, ((axis,),)):
        if not traces:
            axis.text(0.5, 0.5, "no video of this suite reflects", ha="center", transform=axis.transAxes)
            return _written(path)
        fact, events, clean = max(traces, key=lambda found: found[1]["triggered"].sum())
        axis.plot(events["frame"], events["score"], color=COLOURS[1], marker=".", label="score while noisy")
        if len(clean):
            axis.plot(clean["frame"], clean["score"], color="#8a8a8a", linewidth=1, label="score when clean")
        searches = events[events["triggered"]]
        for event in searches.itertuples():
            axis.plot([event.frame] * len(event.candidates), event.candidates, "_", color=COLOURS[0], markersize=9)
        axis.plot([], [], "_", color=COLOURS[0], markersize=9, label="candidates of a search")
        adopted = searches[searches["adopted"].notna()]
        best = [event.candidates[int(event.adopted)] for event in adopted.itertuples()]
        axis.plot(adopted["frame"], best, "o", color=COLOURS[0], label="adopted")
        axis.set_xlabel("latent frame")
        axis.set_ylabel("consistency with the frames before")
        axis.set_title(f"{fact.label} on {fact.base}, {fact.prompt_id}, seed {fact.seed}")
        _legend([axis])
    return _written(path)


def foresight(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Why reflection can work: the score of noisy frames against that of the same frames when they are clean."""
    bases = list(dict.fromkeys(scores["base"]))
    with _figure(path, 1, len(bases), width=3.4 * len(bases), height=3.0) as (figure, axes):
        for base, axis in zip(bases, axes[0], strict=True):
            chosen = facts[(facts["base"] == base) & (facts["entry"].isin(entries) if entries is not None else True)]
            early, clean = (
                pd.concat(
                    [told(trace, kind).assign(video=i) for i, trace in enumerate(chosen["trace"])] or [pd.DataFrame()]
                )
                for kind in ("reflection", "consistency")
            )
            axis.set_title(base)
            axis.set_xlabel("score while noisy")
            if not {"frame", "score"} <= set(early) & set(clean):
                axis.text(0.5, 0.5, "no video here reflects", ha="center", transform=axis.transAxes)
                continue
            early = early[~early["triggered"].astype(bool)]  # the frames that were searched for are others
            both = early.merge(clean, on=["video", "frame"], suffixes=("", "_clean"))
            axis.plot(both["score"], both["score_clean"], MARKERS[0], color=COLOURS[1], alpha=0.45, markersize=4)
            if both[["score", "score_clean"]].nunique().min() > 2:
                rank = stats.spearmanr(both["score"], both["score_clean"]).statistic
                axis.set_title(f"{base}\nrank correlation {rank:.2f}, n = {len(both)}")
        axes[0][0].set_ylabel("score when clean")
        figure.subplots_adjust(wspace=0.25)
    return _written(path)


def levels(
    scores: pd.DataFrame,
    facts: pd.DataFrame,
    path: str | Path,
    entries: Sequence[str] | None = None,
    columns: Sequence[Metric] = (),
) -> list[Path]:
    """Noise levels that each window of one video reads: a row per base model, a panel per entry that works in windows,
    its first video.

    Windows stand side by side by stage, in the order in which a stage met their kind; a bar reaches from a window's
    lowest to its highest level, guidance frames among them.
    """
    videos = facts.drop_duplicates(["base", "entry"])
    shown = [fact for fact in videos.itertuples() if entries is None or fact.entry in entries]
    found = [(fact, rows) for fact in shown if len(rows := told(fact.trace, "levels"))]
    bases = list(dict.fromkeys(fact.base for fact, _ in found)) or [""]
    names = list(dict.fromkeys(fact.entry for fact, _ in found)) or [""]
    stages = list(dict.fromkeys(stage for _, rows in found for stage in rows["stage"]))
    width = 3.2 * len(names)
    with _figure(path, len(bases), len(names), width, height=2.7, share_y="row") as (figure, axes):
        if not found:
            axes[0][0].text(0.5, 0.5, "no method here works in windows", ha="center", transform=axes[0][0].transAxes)
        for fact, rows in found:
            axis = axes[bases.index(fact.base)][names.index(fact.entry)]
            rows = rows.sort_values("stage", key=lambda stage: stage.map(stages.index), kind="stable")
            start = rows["windows"].cumsum() - rows["windows"]
            colours = [COLOURS[stages.index(stage) % len(COLOURS)] for stage in rows["stage"]]
            height = rows["highest"] - rows["lowest"] + 1
            axis.bar(start, height, rows["windows"], rows["lowest"] - 0.5, align="edge", color=colours)
            axis.set_title(f"{fact.label} on {fact.base}")
            axis.set_xlabel("window")
        for line in axes:
            line[0].set_ylabel("noise level")
        handles = [Patch(color=COLOURS[i % len(COLOURS)], label=stage) for i, stage in enumerate(stages)]
        axes[0][-1].legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.subplots_adjust(wspace=0.1, hspace=0.45)
    return _written(path)


def lengths(
    scores: pd.DataFrame, facts: pd.DataFrame, path: str | Path, entries: Sequence[str] | None, measured: pd.DataFrame
) -> list[Path]:
    """Peak memory and seconds per frame against length: flat where a method streams.

    A row of `measured` is one video (`miga.experiment.measure`): base, entry, frames, memory, seconds. One without
    numbers did not fit into memory; the legend says at which lengths.
    """
    drawn, bases = looks(scores, facts, entries), list(dict.fromkeys(measured["base"]))
    rows = {"memory": "peak memory (MB)", "seconds": "seconds per frame"}
    with _figure(path, len(rows), len(bases), width=3.9 * len(bases) + 1.3, height=2.6) as (figure, axes):
        for (column, words), line in zip(rows.items(), axes, strict=True):
            for base, axis in zip(bases, line, strict=True):
                for entry, look in drawn.items():
                    own = measured[(measured["base"] == base) & (measured["entry"] == entry)].sort_values("frames")
                    if not len(own):
                        continue
                    lost = own.loc[own[column].isna(), "frames"]
                    label = look.label + (f" (no memory for {', '.join(map(str, lost))})" if len(lost) else "")
                    axis.plot(own["frames"], pd.to_numeric(own[column]), marker=look.marker, color=look.colour,
                              dashes=look.dashes, label=label)  # fmt: skip
                axis.set_ylim(bottom=0)
                axis.set_xticks(sorted(set(measured["frames"])))
            line[0].set_ylabel(words)
        for base, top, bottom in zip(bases, *axes, strict=True):
            top.set_title(base)
            bottom.set_xlabel("video frames")
        _legend(axes[0])
        figure.subplots_adjust(wspace=0.25, hspace=0.3)
    return _written(path)


def _quality(columns: Sequence[Metric]) -> Metric:
    """The column that sums a board up: its derived one, or else its first."""
    return next((column for column in columns if column.of), columns[0])


def _scatter(scores, facts, path, entries, columns, words, across, scale=1.0, log=False) -> list[Path]:
    """Quality against what `across` finds of (base, entry): a panel per base model, a point per entry."""
    quality = _quality(columns)
    drawn, bases = looks(scores, facts, entries), list(dict.fromkeys(scores["base"]))
    with _figure(path, 1, len(bases), width=3.9 * len(bases) + 1.3, height=3.0) as (figure, axes):
        for base, axis in zip(bases, axes[0], strict=True):
            for entry, look in drawn.items():
                x, y = across(base, entry), _found(scores, base, entry, quality)
                if x is not None and y is not None:
                    _point(axis, [x.mean], [y.mean], look, quality, x, y, scale, bars=0.4)
            if log:
                axis.set_xscale("log")
                axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.xaxis.set_major_formatter("{x:g}")
                axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(words)
            axis.set_title(base)
        axes[0][0].set_ylabel(f"{quality.label}{_unit(quality)}")
        _legend(axes[0], [look.label for look in drawn.values()])
        figure.subplots_adjust(wspace=0.25)
    return _written(path)


@contextmanager
def _figure(
    path,
    rows: int,
    columns: int,
    width: float,
    height: float,
    share_y: bool | str = False,
    share_x: bool = False,
) -> Iterator[tuple[Figure, np.ndarray]]:
    """A grid of axes; `height` is that of one row. Saved on leaving, or nothing is written."""
    with plt.style.context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, height * rows), squeeze=False, sharey=share_y, sharex=share_x
        )
        try:
            yield figure, axes
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            for target in _written(path):
                metadata = {"Date": None} if target.suffix == ".svg" else {"Software": None}
                with replacing(target) as partial:
                    figure.savefig(partial, format=target.suffix[1:], metadata=metadata)
        finally:
            plt.close(figure)


def _written(path: str | Path) -> list[Path]:
    return [Path(f"{Path(path).with_suffix('')}.{kind}") for kind in ("svg", "png")]


def _found(scores: pd.DataFrame, base: str, entry: str, column: Metric):
    rows = scores[(scores["base"] == base) & (scores["entry"] == entry)]
    found = estimate(rows, column.parts, resamples=2000) if len(rows) else None
    return found if found is not None and found.mean is not None else None


def _point(
    axis: Axes, x, y, look: Look, column: Metric, horizontal=None, vertical=None, scale_x=None, bars=1.0
) -> None:
    """A marker with intervals, so opaque as `bars` says; the axis that carries `column` is scaled as tables are."""
    along = column.scale if scale_x is None else scale_x
    up = column.scale if vertical is not None else 1
    ends = {}
    if horizontal is not None and horizontal.low is not None:
        ends["xerr"] = np.abs([[horizontal.mean - horizontal.low], [horizontal.high - horizontal.mean]]) * along
    if vertical is not None and vertical.low is not None:
        ends["yerr"] = np.abs([[vertical.mean - vertical.low], [vertical.high - vertical.mean]]) * up
    axis.errorbar(
        np.multiply(x, along), np.multiply(y, up), fmt=look.marker, color=look.colour, elinewidth=1.3, capsize=2,
        label=look.label, markerfacecolor="white" if look.control else look.colour, ecolor=(look.colour, bars),
        **ends,
    )  # fmt: skip


def _by_prompt(rows: pd.DataFrame) -> np.ndarray:
    """(prompts, frames): the series of a metric's rows, averaged over seeds, cut to the shortest video."""
    length = rows["series"].map(len).min()
    return np.stack([np.mean([s[:length] for s in part], axis=0) for _, part in rows.groupby("prompt_id")["series"]])


def _band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    interval = stats.bootstrap(
        (curves,), np.mean, axis=0, n_resamples=2000, batch=200, confidence_level=CONFIDENCE, method="percentile",
        vectorized=True, rng=np.random.default_rng(SEED),
    ).confidence_interval  # fmt: skip
    return interval.low, interval.high


def _legend(axes: Sequence[Axes], order: Sequence[str] = ()) -> None:
    """One legend for a row of panels, right of the last, in the order of the labels or as they come."""
    found = [axis.get_legend_handles_labels() for axis in axes]
    once = {
        label: handle[0] if isinstance(handle, ErrorbarContainer) else handle
        for handles, labels in found
        for handle, label in zip(handles, labels, strict=True)
    }
    once = {label: once[label] for label in (order or once) if label in once}
    axes[-1].legend(once.values(), once.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5))


def _name_base(axis: Axes, base: str, bases: list[str]) -> None:
    if len(bases) > 1:
        axis.set_ylabel(base, fontweight="bold")


def _unit(column: Metric) -> str:
    return f" ({column.unit})" if column.unit else ""


def _arrow(column: Metric) -> str:
    return "" if not column.ranked else " ↑" if column.higher_is_better else " ↓"
