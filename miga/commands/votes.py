"""`miga votes`: who won how often in the blind votes that a report's page exports."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional


def votes(files: Positional[list[Path]], suite: Path | None = None) -> None:
    """Wins per method with 95 % intervals, from votes that the page of a report exports.

    For example: `miga votes votes-sprites.csv --suite results/sprites`.

    Example: miga votes votes.csv --suite results/sprites

    Args:
        files: CSV files of votes; a vote that is in two of them counts once.
        suite: The suite that was voted on, such as results/sprites: gives labels, and refuses votes on other frames.
    """
    from eval import records
    from eval.votes import read, wins

    if not files:
        raise ValueError("give at least one CSV file of votes, as the page of a report exports it")
    cast = read(files, suite)
    if not cast:
        raise ValueError(f"{files[0]}: there is no vote in it yet")
    table = wins(cast)
    labels = {} if suite is None else records.labels_of(records.found(suite), table["entry"])
    readers = len({vote.voter for vote in cast})
    print(f"{cast[0].suite}: {len(cast)} votes under {readers} name{'s' * (readers != 1)}")
    row = "{:<14} {:<24} {:>5} {:>4} {:>4} {:>4}  {}".format
    print(row("base", "entry", "votes", "won", "lost", "ties", "share won [95 % interval over prompts]"))
    for found in table.itertuples():
        share = f"{found.share:.0%}"
        share += f" [{found.low:.0%}, {found.high:.0%}]" if found.low is not None and found.low == found.low else ""
        name = labels.get(found.entry, found.entry)
        print(row(found.base, name, found.votes, found.won, found.lost, found.ties, share))
