"""The difference of differences is that of the differences, and its interval is paired on prompts."""

import numpy as np
import pandas as pd
import pytest

from eval.contrast import contrast
from eval.metric import METRICS


def test_the_difference_of_the_differences():
    draws = np.random.default_rng(0)
    gain = dict(one=0.2, two=0.05)
    rows = []
    for prompt in range(12):
        common = draws.normal()
        for base in gain:
            for entry in ("a", "b"):
                value = common + gain[base] * (entry == "a") + 0.01 * draws.normal()
                rows.append(dict(base=base, entry=entry, prompt_id=str(prompt), seed=1, metric="motion",
                                 value=value, protocol="toy", suite="toy", version="1"))  # fmt: skip
    scores, facts = pd.DataFrame(rows), pd.DataFrame({"entry": ["a", "b"], "label": ["A", "B"]})
    table = contrast("contrast", "", scores, facts, ("a", "b"), ("one", "two"), [METRICS.get("motion")], resamples=200)
    one, two, double = (row.cells["motion"].estimate for row in table.rows)
    assert double.mean == pytest.approx(one.mean - two.mean) == pytest.approx(0.15, abs=0.02)
    assert double.low < double.mean < double.high and double.certain  # the prompts' own spread of 1 has gone
