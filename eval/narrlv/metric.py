"""The NarrLV metric: from votes to R_fid, R_cov and R_coh (arXiv:2507.11245, section 4, and the released code).

Answers are in the layout that the released answering step writes: one file per suite, `{video: {"qa_infor": {category:
[{"question": ..., "answer": [votes]}]}}}`, and beside it the aesthetic score q of each first frame. The share r of yes
among a question's readable votes is all that enters; a question without a readable vote has no r and counts nowhere.
A category that is there without any r (an empty list in the suite) leaves the video without that score, as in the
released code, and the suite's mean is then over the other videos.

Released code and paper differ: the code mixes q into every score and takes an atom as present above r = 0.2, the
paper does neither and takes 0.3. `VARIANTS` holds both. They differ too where an item is asked about more than one
thing that evolves (two of the 360 prompts): the paper's rules hold for each of them, the code has them for one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.narrlv.speech import spoken
from eval.narrlv.suite import (
    ANOMALIES,
    ATTRIBUTES,
    CATEGORIES,
    EVOLUTIONS,
    FACTORS,
    LAYOUT,
    SCENE,
    TARGET,
    factor_and_tna,
    read_json,
)

GATE = 0.3  # what depends on something that fewer say they see is 0
FIDELITY = (SCENE, TARGET, ATTRIBUTES, LAYOUT, *ANOMALIES)
SCORES = ("R_fid", "R_cov", "R_coh")

Votes = Mapping[str, Sequence[Sequence[str | None]]]  # category -> the votes of each of its questions; None is no vote
Parser = Callable[[str], bool | None]


@dataclass(frozen=True)
class Variant:
    """What the released code and the paper do differently.

    aesthetic: whether q enters.
    present: the share of yes above which an atom counts as present.
    votes: how many of a question's votes are read, the first ones.
    layout: whether a layout that no question asks about is lost too where scene or targets are.
    evolutions: what may evolve, in the order in which it is looked for.
    gated: those of the ones found whose changes count only where both atoms are seen.
    counted: those of the ones found, in the order of the file, whose atoms are counted as present.
    """

    aesthetic: bool
    present: float
    votes: int | None
    layout: bool
    evolutions: Sequence[str]
    gated: slice
    counted: slice


EVERY, FIRST, LAST = slice(None), slice(1), slice(-1, None)
_LOOKED_FOR = tuple(f"{FACTORS[name]} Evolution" for name in ("scene_attribute", "target_action", "target_attribute"))
VARIANTS = {
    "released": Variant(True, 0.2, votes=5, layout=True, evolutions=_LOOKED_FOR, gated=FIRST, counted=LAST),
    "paper": Variant(False, 0.3, votes=None, layout=False, evolutions=EVOLUTIONS, gated=EVERY, counted=EVERY),
}


def substring(vote: str) -> bool | None:
    """The released rule: "no" anywhere is a no ("cannot", "not sure", "know"), else "yes" anywhere is a yes."""
    vote = vote.lower()
    return False if "no" in vote else True if "yes" in vote else None


YES = {"yes", "是", "是的", "对", "有", "はい", "예", "네", "да", "نعم"}
NO = {"no", "否", "不", "不是", "没有", "没", "いいえ", "아니요", "아니오", "нет", "لا"}


def strict(vote: str) -> bool | None:
    """The first word where it is yes or no, else the one of the two that stands in the vote; both is neither.

    What was thought aloud is not read. Full-width letters are letters, and the other scripts' words words.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", spoken(vote)).lower())
    said = {word in YES for word in words[:1] if word in YES | NO} or {
        word in YES for word in words if word in YES | NO
    }
    return said.pop() if len(said) == 1 else None


PARSERS: dict[str, Parser] = {"released": substring, "strict": strict}


@dataclass(frozen=True)
class Scores:
    """Scores of one video, 0..1 each; nan where one does not exist.

    `unparsable` is the share of votes that the parser cannot read, `unanswered` the number of questions without any
    readable vote.
    """

    R_fid: float
    R_cov: float
    R_coh: float
    unparsable: float
    unanswered: int


def score(
    votes: Votes, tna: int, q: float | None = None, variant: str = "released", parser: str = "released"
) -> Scores:
    """Scores of one video with `tna` atoms; `q` is the aesthetic score of its first frame, 1..5.

    Without the q that the variant asks for, all three R are nan.
    """
    rule, parse = VARIANTS[variant], PARSERS[parser]
    parsed = {category: [_read(question[: rule.votes], parse) for question in votes[category]]
              for category in votes if category in CATEGORIES}  # fmt: skip
    shares = {category: [_share(question) for question in questions] for category, questions in parsed.items()}
    means = {category: _mean(share) for category, share in shares.items()}

    placed = SCENE in means and TARGET in means and (rule.layout or LAYOUT in means)
    if placed and min(means[SCENE], means[TARGET]) < GATE:
        means[LAYOUT] = 0.0
    units, changes = ([f"{name}_{i}" for name in rule.evolutions] for i in (0, 1))
    if tna > 1:
        pairs = [(unit, change) for unit, change in zip(units, changes, strict=True) if unit in shares]
        for unit, change in pairs[rule.gated]:
            if change in shares:
                means[change] = _mean(_gated(shares[change], shares[unit]))
    for category in means.keys() & set(ANOMALIES):
        means[category] = 1 - means[category]

    fid, cov, coh = (_plain([means[c] for c in names if c in means]) for names in (FIDELITY, units, changes))
    counted = [category for category in shares if category in units][rule.counted]
    present = _mean(float(r > rule.present) for category in counted for r in shares[category] if r == r)
    if rule.aesthetic:
        q = math.nan if q is None else 0.2 * q
        r = (fid + q) / 2, (cov + q) / 2, (coh + q + present) / 3
    else:
        r = fid, cov, (coh + present) / 2
    all_votes = [vote for questions in parsed.values() for question in questions for vote in question]
    return Scores(
        *r,
        unparsable=_mean(float(vote is None) for vote in all_votes),
        unanswered=sum(math.isnan(r) for share in shares.values() for r in share),
    )


def score_suite(videos: Mapping[str, Scores]) -> dict[str, float]:
    """Scores of a suite: each the mean over the videos where it exists.

    `mean3`, the mean of the three, is this project's convention and not the benchmark's; nan with one atom.
    """
    means = {name: _mean(getattr(video, name) for video in videos.values()) for name in SCORES}
    return {
        "videos": len(videos),
        **means,
        "mean3": _plain(list(means.values())),
        "unparsable": _mean(video.unparsable for video in videos.values()),
        "unanswered": sum(video.unanswered for video in videos.values()),
    }


def score_folder(
    folder: str | Path, variant: str = "released", parser: str = "released"
) -> dict[str, dict[str, Scores]]:
    """{suite: {video: scores}} for answers in the released layout: `answers/<suite>.json` and, where the variant mixes
    it in, `aesthetics/<suite>.json`; the released names `generated_answers` and `generated_answers_aes` do as well.
    """
    if variant not in VARIANTS or parser not in PARSERS:
        raise ValueError(f"variant is one of {', '.join(VARIANTS)}, parser one of {', '.join(PARSERS)}: "
                         f"not {variant!r}, {parser!r}")  # fmt: skip
    answers = _folder(folder, ("answers", "generated_answers"))
    files = sorted(answers.glob("*.json"))
    if not files:
        raise ValueError(f"{answers}: no answers; one file per suite is expected, <...>_<factor>_tna_<n>.json")
    aesthetics = _folder(folder, ("aesthetics", "generated_answers_aes")) if VARIANTS[variant].aesthetic else None
    scores = {}
    for file in files:
        _, tna = factor_and_tna(file.stem)
        votes = read_answers(file)
        q = read_aesthetics(aesthetics / file.name) if aesthetics else {}
        if aesthetics and (missing := votes.keys() - q.keys()):
            raise ValueError(f"{aesthetics / file.name}: no aesthetic score of {', '.join(sorted(missing))}; "
                             "the variant `paper` needs none")  # fmt: skip
        scores[file.stem] = {video: score(votes[video], tna, q.get(video), variant, parser) for video in votes}
    return scores


def read_answers(path: str | Path) -> dict[str, dict[str, list[list[str | None]]]]:
    """{video: {category: [votes of each question]}} from an answers file, in its order; None stands for no vote."""
    videos = {}
    for video, entry in _object(read_json(path), path).items():
        where = f"{path}, {video}"
        votes = {}
        for category, questions in _object(_object(entry, where).get("qa_infor"), f"{where}: qa_infor").items():
            if category not in CATEGORIES:
                raise ValueError(f"{where}: unknown category {category!r}")
            if isinstance(questions, list):
                votes[category] = [_votes(question, f"{where}: {category}") for question in questions]
            elif questions is not None:
                raise ValueError(f"{where}: {category}: must be a list or null")
        videos[video] = votes
    return videos


def read_aesthetics(path: str | Path) -> dict[str, float]:
    """{video: aesthetic score, 1..5} from an aesthetics file."""
    entries = _object(read_json(path), path)
    try:
        found = {video: float(entry["qalign_res"]["answer"][0]) for video, entry in entries.items()}
    except (TypeError, KeyError, IndexError, ValueError):
        raise ValueError(f'{path}: a video must have {{"qalign_res": {{"answer": [score]}}}}') from None
    if odd := [f"{video} has {q:g}" for video, q in found.items() if not 1 <= q <= 5]:
        raise ValueError(f"{path}: an aesthetic score is 1 to 5: {odd[0]}")
    return found


def _read(votes: Sequence[str | None], parse: Parser) -> list[bool | None]:
    """What the votes that were given say; None where one cannot be read."""
    return [parse(vote) for vote in votes if vote is not None]


def _share(votes: Sequence[bool | None]) -> float:
    """Share of yes among the readable votes; nan without any."""
    said = [vote for vote in votes if vote is not None]
    return sum(said) / len(said) if said else math.nan


def _gated(changes: Sequence[float], units: Sequence[float]) -> list[float]:
    """The change from atom k to k + 1 counts only where both atoms are seen."""
    return [0.0 if any(r < GATE for r in units[k : k + 2]) else change for k, change in enumerate(changes)]


def _plain(values: Sequence[float]) -> float:
    """Mean in which nan stays nan."""
    return sum(values) / len(values) if values else math.nan


def _mean(values: Iterable[float]) -> float:
    """Mean of those that exist."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _votes(question: object, where: str) -> list[str | None]:
    votes = question.get("answer") if isinstance(question, dict) else None
    if not isinstance(votes, list) or not all(vote is None or isinstance(vote, str) for vote in votes):
        raise ValueError(f"{where}: a question must have a list of texts under answer")
    return votes


def _object(data: object, where: object) -> dict:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: must be an object")
    return data


def _folder(folder: str | Path, names: Sequence[str]) -> Path:
    for name in names:
        if (path := Path(folder) / name).is_dir():
            return path
    raise ValueError(f"{folder}: has no folder {' or '.join(names)}")
