"""When there are prompts enough: every paired difference is settled, by the table of differences itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval.tables import Table, number


def unsettled(differences: Table, metrics: Sequence[str], width: float) -> Iterator[str]:
    """A line per difference in one of the metrics whose interval holds zero and is at least so many printed units wide,
    or that has none."""
    columns = [column for column in differences.columns if column.name in metrics]
    for row in differences.rows:
        for column in columns:
            found = row.cells[column.name].estimate
            if found.low is None:
                yield f"{', '.join(row.words)}: {column.name} has no interval yet"
            elif not found.certain and (found.high - found.low) * column.scale >= width:
                ends = f"[{number(found.low, column)}, {number(found.high, column)}]"
                yield f"{', '.join(row.words)}: {column.name} {number(found.mean, column)} {ends}"
