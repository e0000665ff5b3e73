"""Questions for prompts of one's own, by a language model behind the judge contract, checked before they are used.

The result is a suite file in the benchmark's layout: read it, correct it, and it is asked like the released ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from eval.narrlv.answers import NO_FRAMES, Cache, Seen, ask_cached
from eval.narrlv.judges.contract import Judge, JudgeError, Sampling
from eval.narrlv.speech import spoken
from eval.narrlv.suite import ANOMALIES, FACTORS, FIRST_FRAME, LAYOUT, SCENE, TARGET, Item, read_questions

SAMPLING = Sampling(temperature=0.0, top_p=1.0, repetition_penalty=None, max_tokens=2048, instruction="")
ATTEMPTS = 3

_TASK = """\
A video is to be made from this prompt:

{prompt}

It tells {tna} narrative atom(s): {tna} successive states of {what}. Write yes/no questions that a viewer of the video \
can answer, as one JSON object and nothing else:

{{"atoms": [{tna} short sentences, one for each atom in order],
 "questions": {{
  "Scene Type": [where it takes place, as the prompt says],
  "Main Target Category": [one question for each main target: does the scene feature it],
  "Initial Scene Attributes": [attributes of the scene at the start, or an empty list],
  "Main Target Layout": [how the targets are placed at the start],
  "{factor} Evolution_0": [exactly {tna}: does the video contain any segment where atom k is the case, in order],
  "{factor} Evolution_1": [exactly {changes}: does atom k turn into atom k+1 over time, in order],
  "Scene Anomaly Detection": [does the scene undergo abnormal deformation over time],
  "Main Target Anomaly Detection": [the same for each main target]}}}}

Each question must be understood without the prompt and without the other questions."""

_WHAT = {
    "scene_attribute": "the scene's attributes",
    "target_attribute": "the main target's attributes",
    "target_action": "the main target's action",
}


@dataclass(frozen=True)
class Told:
    """A prompt of one's own: `tna` states of `factor` follow each other in it."""

    prompt: str
    factor: str
    tna: int

    def __post_init__(self) -> None:
        texts = isinstance(self.prompt, str) and self.prompt.strip() and isinstance(self.factor, str)
        if not texts or self.factor not in FACTORS or type(self.tna) is not int or self.tna < 1:
            raise ValueError(
                f"a prompt needs a text, a factor of {', '.join(FACTORS)}, and at least one atom: not {self}"
            )


def suite_of(name: str, told: Told) -> str:
    """The suite that a prompt's questions go to."""
    return f"{name}_{told.factor}_tna_{told.tna}"


def generate(prompts: Sequence[Told], judge: Judge, cache: Cache, name: str = "own", seed: int = 0) -> list[Item]:
    """Items with questions, in the order of the prompts, in suites "<name>_<factor>_tna_<n>".

    Answers are cached; what the checks refuse is asked again with the reason. `ValueError` lists the prompts for which
    no answer would do.
    """
    with ThreadPoolExecutor(max(1, judge.concurrency)) as pool:
        answers = list(pool.map(lambda told: _ask(told, judge, cache, seed), prompts))
    pairs = list(zip(prompts, answers, strict=True))
    refused = [f"{told.prompt[:60]!r}: {answer}" for told, answer in pairs if isinstance(answer, str)]
    if refused:
        raise ValueError(f"no usable questions for {len(refused)} of {len(prompts)} prompts: {'; '.join(refused)}")
    return [
        Item(suite_of(name, told), told.factor, told.tna, str(number), 0, told.prompt, *answer)
        for number, (told, answer) in enumerate(pairs, 1)
    ]


def _ask(told: Told, judge: Judge, cache: Cache, seed: int) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]] | str:
    """Atoms and questions of a prompt, or why there are none."""
    factor = FACTORS[told.factor]
    task = _TASK.format(prompt=told.prompt, tna=told.tna, changes=told.tna - 1, factor=factor, what=_WHAT[told.factor])
    problem = ""
    for attempt in range(ATTEMPTS):
        text = f"{task}\n\nAn earlier answer was refused: {problem}" if problem else task
        try:
            [answer] = ask_cached(judge, cache, Seen.of(NO_FRAMES), text, 1, seed + attempt)
        except JudgeError as error:
            return str(error)
        try:
            return check(answer, told)
        except ValueError as error:
            problem = str(error)
    return problem


def check(answer: str, told: Told) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Atoms and questions from a model's answer; `ValueError` says what is wrong with it."""
    data = next((found for found in _objects(spoken(answer)) if found.keys() >= {"atoms", "questions"}), None)
    if data is None:
        raise ValueError('the answer must be one JSON object with "atoms" and "questions"')
    atoms, questions = data["atoms"], data["questions"]
    if not (isinstance(atoms, list) and len(atoms) == told.tna and all(isinstance(atom, str) for atom in atoms)):
        raise ValueError(f'"atoms" must be a list of {told.tna} texts')
    questions = {c: texts for c, texts in read_questions(questions, "questions").items() if texts}
    units, changes = (f"{FACTORS[told.factor]} Evolution_{i}" for i in (0, 1))
    allowed = {*FIRST_FRAME, units, changes, *ANOMALIES}
    if foreign := questions.keys() - allowed:
        raise ValueError(f"questions of {', '.join(sorted(foreign))} do not belong to this prompt")
    if absent := [category for category in (SCENE, TARGET, LAYOUT, *ANOMALIES) if category not in questions]:
        raise ValueError(f"there must be questions of {', '.join(absent)}")
    for category, count in ((units, told.tna), (changes, told.tna - 1)):
        if (found := len(questions.get(category, ()))) != count:
            raise ValueError(f"{category} must have exactly {count} questions, not {found}")
    for category, texts in questions.items():
        if bad := [text for text in texts if "?" not in text or not text.strip().isprintable()]:
            raise ValueError(f"{category}: not a question on one line: {bad[0][:80]!r}")
    return tuple(atoms), questions


def _objects(text: str) -> Iterator[dict]:
    """JSON objects that stand in a text, whatever is around them."""
    start = text.find("{")
    while start >= 0:
        try:
            found, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find("{", end)
