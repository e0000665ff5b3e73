"""What a suite found, in sentences made from its tables: nothing here is written by hand, and nothing is left out that
is against the reference.

A table is plain data as `eval.tables.to_data` gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from eval.metric import known_card
from eval.quality import FEW_PROMPTS
from eval.sensitivity import verdicts
from eval.tables import may_rank, misleads, number

Data = dict[str, Any]
REWARDED = {"freeze": "standing still", "loop": "beginning again"}  # by which a score misleads


def sentences(main: Data, differences: Data | None = None) -> list[str]:
    """Where the reference is better than others, where it is worse, and who leads; without a reference the last only.

    main: the table of entries x metrics; differences: the reference minus each other entry, paired. A sentence has a
    clause per base model, since methods are not everywhere the same.
    """
    bases = list(dict.fromkeys(row["base"] for row in main["rows"] if contends(row)))
    name = reference(differences)
    leaders = f"{_by_what(main)}: {_joined(_leader(main, base, name) for base in bases)}"
    if name is None:
        return [leaders]
    better, worse = (_joined(_most(differences, base, sign) for base in bases) for sign in (1, -1))
    return [f"{name} is better {better}", f"{name} is worse {worse}", leaders]


def _by_what(main: Data) -> str:
    """The column that leaders are named by, with what must be known of it."""
    column = summary(main)
    known = known_card(column["name"])
    if known and not may_rank(known):
        return f"{column['label']}, on which no fault was tried"
    said = verdicts(column["name"])
    rewarded = [words for fault, words in REWARDED.items() if said.get(fault) == "rewards"]
    return column["label"] + f", which rewards {' and '.join(rewarded)}" * bool(rewarded)


def basis(main: Data) -> str:
    """What the sentences stand on."""
    prompts = max((row["cells"][summary(main)["name"]]["prompts"] for row in main["rows"]), default=0)
    few = " So few prompts make rough intervals." * (prompts < FEW_PROMPTS)
    return (
        f"In brackets 95 % bootstrap intervals over {prompts} prompt{'s' * (prompts != 1)}. Better and worse are said "
        f"where the interval of the paired difference excludes zero; controls do not count.{few}"
    )


def contends(row: Data) -> bool:
    """Whether a row is a method under test: no control, and no videos of others."""
    return not row["control"] and not row.get("origin")


def summary(main: Data) -> Data:
    """The column that sums a table up: its derived one, or else its first."""
    derived = [column for column in main["columns"] if (known := known_card(column["name"])) and known.of]
    return (derived or main["columns"])[0]


def reference(differences: Data | None) -> str | None:
    """The label of the entry that the others are compared with."""
    return differences["rows"][0]["words"][1].split(" − ")[0] if differences and differences["rows"] else None


def shown(cell: Data, column: Data, sign: bool = False) -> str:
    """A mean with its interval, as tables print it."""
    metric = SimpleNamespace(**column)
    text = number(cell["mean"], metric, sign)
    if cell["low"] is not None:
        text += f" [{number(cell['low'], metric)}, {number(cell['high'], metric)}]"
    return text


def _joined(clauses: Iterable[str]) -> str:
    return "; ".join(clauses) + "."


def _leader(main: Data, base: str, name: str | None) -> str:
    """Which method is best by the summary column, and where the reference stands."""
    column = summary(main)
    rows = [row for row in main["rows"] if row["base"] == base and contends(row)]
    rows = [row for row in rows if row["cells"][column["name"]]["mean"] is not None]
    rows.sort(key=lambda row: row["cells"][column["name"]]["mean"], reverse=column["higher_is_better"])
    said = [f"{row['words'][1]} {shown(row['cells'][column['name']], column)}" for row in rows]
    own = next((place for place, row in enumerate(rows) if row["words"][1] == name), 0)
    if not rows:
        return f"on {base} no method has a value"
    return f"on {base} {said[0]} is best" + (f", {said[own]} is number {own + 1} of {len(rows)}" if own else "")


def _most(differences: Data, base: str, sign: int) -> str:
    """The metric by which the reference is certainly better (sign 1) or worse (-1) than most others, and by how much.

    Of two with equally many, one that a frozen or looped video cannot win goes first.
    """
    rows = [row for row in differences["rows"] if row["base"] == base and contends(row)]
    found = []
    for column in differences["columns"]:
        known = known_card(column["name"])
        if column["ranked"] and (known is None or may_rank(known)):
            beaten = [row for row in rows if _side(row["cells"][column["name"]], column) == sign]
            found.append((len(beaten), known is None or not misleads(known), column, beaten))
    most, _, column, beaten = max(found, key=lambda one: one[:2], default=(0, True, None, []))
    if not most:
        return f"on {base} in nothing for certain"
    top = max(beaten, key=lambda row: abs(row["cells"][column["name"]]["mean"]))
    points = " points" * (column["unit"] == "%")
    return (
        f"on {base} in {column['label'].lower()} than {most} of {len(rows)}, most of all than "
        f"{top['words'][1].split(' − ')[1]} ({shown(top['cells'][column['name']], column, sign=True)}{points})"
    )


def _side(cell: Data, column: Data) -> int:
    """1 where the reference is certainly better, -1 where it is worse, 0 where neither is certain."""
    if cell["low"] is None or cell["low"] <= 0 <= cell["high"]:
        return 0
    return 1 if (cell["mean"] > 0) == column["higher_is_better"] else -1
