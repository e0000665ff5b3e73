"""A suite's results in ten lines at most, for the end of a run on a terminal."""

from __future__ import annotations

from types import SimpleNamespace

from eval.report.findings import Data, contends, reference, summary
from eval.tables import number

ROWS = 5
SAID = {"pass": "nothing found", "warning": "read the warnings on the page", "error": "do not trust these numbers yet"}


def gist(title: str, videos: int, main: Data, differences: Data | None, long: list[str], quality: Data | None) -> str:
    """The title, the reference and the best others by the summary column, and what quality control says.

    long: names of the metrics to show beside the summary. A cell has a number per base model.
    """
    top = summary(main)
    columns = [top, *(column for column in main["columns"] if column["name"] in long and column is not top)]
    rows: dict[str, dict[str, Data]] = {}
    for row in filter(contends, main["rows"]):
        rows.setdefault(row["words"][1], {})[row["base"]] = row["cells"]
    bases = list(dict.fromkeys(row["base"] for row in main["rows"] if contends(row)))

    def standing(name: str) -> tuple[bool, float]:
        means = [cells[top["name"]]["mean"] for cells in rows[name].values() if cells[top["name"]]["mean"] is not None]
        sign = 1 if top["higher_is_better"] else -1
        return name != reference(differences), -sign * sum(means) / len(means) if means else float("inf")

    lines = [["", *(column["label"] + (f" ({column['unit']})" if column["unit"] else "") for column in columns)]]
    for name in sorted(rows, key=standing)[:ROWS]:
        cells = [[rows[name].get(base, {}).get(column["name"]) for base in bases] for column in columns]
        shown = [
            " / ".join(number(cell and cell["mean"], SimpleNamespace(**column)) for cell in line)
            for column, line in zip(columns, cells, strict=True)
        ]
        lines.append([name, *shown])
    widths = [max(map(len, place)) for place in zip(*lines, strict=True)]
    table = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    verdict = [f"Quality control: {SAID[quality['verdict']]}"] if quality else []
    return "\n".join([f"{title}: {videos} videos on {' / '.join(bases)}", *table, *verdict]) + "\n"
