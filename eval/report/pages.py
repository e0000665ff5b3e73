"""What a repository says of a finished run: a page with all tables, a small CSV, and marked blocks in a README.

    docs/results-<suite>.md    all tables, what was found, the commit and the day
    docs/results-<suite>.csv   the main board: a row per base, entry and metric

In another page two comments mark a block that is made from those files and from nothing else:

    <!-- results-<suite>.csv: rows a, b; columns x, y --> a row per entry, base models side by side <!-- end -->
    <!-- results-<suite>.md: found --> the sentences of what was found <!-- end -->
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.files import write_bytes, write_text
from eval.metric import METRICS, Metric
from eval.report import found_in, read_tables
from eval.report.findings import basis, sentences
from eval.tables import number

KEPT = ("base", "entry", "label", "control", "port", "metric", "value", "low", "high", "n", "total")
BLOCK = re.compile(r"(<!-- (results-[\w.-]+)\.(csv|md): (.*?) -->\n).*?(<!-- end -->)", re.S)
FOUND = "## What was found\n\n"


def write(
    suite: str | Path, docs: str | Path, title: str, first: Sequence[str], board: str, commit: str, day: str
) -> None:
    """Write the page, the CSV and the picture of a finished suite into `docs`.

    first: the tables that come before the others, the main one first; board: the leaderboard that becomes the CSV;
    commit: of the code that made the results, `day` when.
    """
    suite, docs = Path(suite), Path(docs)
    tables = read_tables(suite, first)
    main, differences = found_in(tables)
    name = f"results-{suite.name}"
    lines = [
        f"# Results: {title}",
        "",
        f"Made by `make results SUITE={suite.name}` from a finished run at commit {commit}, {day}. Its main numbers:",
        f"[{name}.csv]({name}.csv). How to read all of it: [results.md](results.md).",
        "",
        FOUND.rstrip(),
        "",
        *(f"- {sentence}" for sentence in sentences(main, differences)),
        "",
        basis(main),
        "",
        f"![Similarity to the first window over time](pictures/{name}-drift.png)",
    ]
    for table in tables:
        heading, _, rest = (suite / "tables" / f"{table['name']}.md").read_text().partition("\n")
        lines += ["", f"## {heading.strip('*')}", rest.rstrip()]
    write_text(docs / f"{name}.md", "\n".join(lines) + "\n")
    rows = pd.read_csv(suite / "leaderboard" / f"{board}.csv")[list(KEPT)]
    write_text(docs / f"{name}.csv", rows.to_csv(index=False, float_format="%.10g"))
    write_bytes(docs / "pictures" / f"{name}-drift.png", (suite / "plots/drift.png").read_bytes())


def fill(page: str | Path, docs: str | Path) -> None:
    """Make the marked blocks of a page again. `ValueError` names an entry or metric that the results do not have."""
    page = Path(page)
    text = page.read_text(encoding="utf-8")
    write_text(page, BLOCK.sub(lambda found: f"{found[1]}{_made(Path(docs), *found.group(2, 3, 4))}\n{found[5]}", text))


def commit(root: str | Path) -> str:
    """The commit of a checkout, and whether files that decide anything differ from it; "unknown" outside of one."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!docs", ":!README.md", ":!CHANGELOG.md")
        return git("rev-parse", "--short=10", "HEAD") + (" with uncommitted changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _made(docs: Path, name: str, kind: str, asked: str) -> str:
    """The text of a block."""
    path = docs / f"{name}.{kind}"
    if kind == "md":
        return path.read_text(encoding="utf-8").partition(FOUND)[2].partition("\n\n")[0]
    rows, columns = (part.split(" ", 1)[1].split(", ") for part in asked.split("; "))
    return table(pd.read_csv(path), rows, columns, str(path))


def table(results: pd.DataFrame, entries: Sequence[str], metrics: Sequence[str], where: str) -> str:
    """Entries x metrics in Markdown, without intervals; a cell has a number per base model, in the order of the first
    line."""
    for wanted, column in ((entries, "entry"), (metrics, "metric")):
        if missing := [name for name in wanted if name not in set(results[column])]:
            raise ValueError(f"{where}: there is no {column} {missing[0]!r}")
    bases = list(dict.fromkeys(results["base"]))
    values = results.set_index(["base", "entry", "metric"])["value"]
    about = results.drop_duplicates("entry").set_index("entry")
    cards = [METRICS.get(metric) for metric in metrics]
    heads = [c.label + f" ({c.unit})" * bool(c.unit) + (" ↑" if c.higher_is_better else " ↓") * c.ranked for c in cards]
    lines = ["| " + " | ".join([" / ".join(bases), *heads]) + " |", "|---" + "|---:" * len(cards) + "|"]
    for entry in entries:
        cells = [" / ".join(number(_value(values, base, entry, card), card) for base in bases) for card in cards]
        label = f"*{about['label'][entry]}* (control)" if about["control"][entry] else about["label"][entry]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def _value(values: pd.Series, base: str, entry: str, card: Metric) -> float | None:
    value = values.get((base, entry, card.name))
    return None if pd.isna(value) else value
