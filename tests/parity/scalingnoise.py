"""Replay of the golden set `scalingnoise`: ScalingNoise's official code with toy networks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from baselines.scalingnoise import ScalingNoise
from baselines.scalingnoise.proposals import PROPOSALS, Source, gaussian_low_pass
from baselines.scalingnoise.search import BeamSearch, Candidate, last_cosine
from miga.engine.base_model import Text
from miga.engine.diagonal import STAGE
from miga.engine.noise import ReplayNoise
from miga.engine.sampling import sample_clip
from miga.engine.sweep import Context
from miga.engine.trace import Trace
from tests.parity.check import Check, Stored, compare
from tests.parity.fifo import (
    CLEAN,
    DRAWS,
    EXACT,
    LATENTS,
    Snapshots,
    compare_images,
    ddim,
    frames_first,
    rescaled,
    stored_rows,
    tables,
)
from tests.parity.toys import FifoToy, to_uint8

SCORES = 1e-5  # the set's README, "How close should you get"
ACTIONS = ("fresh", "renoise", "low_frequencies", "mixture")  # in the order of the official action ids
STAGES = dict(start=0, sample=1, warm_start=2)  # the others: by order, see `labels`


def replay(case: str, folder: Path) -> Iterator[Check]:
    settings = json.loads((folder / f"{case}.json").read_text())
    golden = Stored(load_file(folder / f"{case}.safetensors"))
    yield from (replay_unit if settings["method"] == "scalingnoise_unit" else replay_video)(settings, golden)
    yield from golden.unread()


class Toy(FifoToy):
    """The set's denoiser with its feature extractor, which sees pictures before they are rounded to uint8."""

    def __init__(self, settings: dict, projection: Tensor) -> None:
        case = settings["settings"]
        shape = (case.get("C", 4), case["h"], case["w"])
        solver = ddim(case["N"], case["eta"], rescaled(settings.get("base", {"mode": "given"})))
        scale = case.get("guidance_scale", 1.0)
        super().__init__(solver, case.get("f", 16), shape, scale, settings.get("toy"))
        self.dino, self.projection = settings["toy_dino"], projection

    def latent_features(self, latents):
        return self.features(to_unit(self.images(latents)))

    def features(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] to (n, d)."""
        dino, size = self.dino, self.dino["resize"]
        resized = F.interpolate(pictures, (size, size), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(dino[name]).reshape(3, 1, 1) for name in ("mean", "std"))
        blocks = F.avg_pool2d((resized - mean) / std, size // dino["pool"])
        return blocks.flatten(1) @ self.projection + dino["bias"]


def to_unit(images: Tensor) -> Tensor:
    return (images.clamp(-1, 1) + 1) / 2


def official_score(cosine: float, frames: int) -> float:
    """What the official loop over the anchor and `frames` pictures makes of the one cosine that it uses."""
    return (cosine + frames * (1 + cosine) / 2) / frames


class RecordedStreams(ReplayNoise):
    """The official streams, with a note of what asked for each draw."""

    def __init__(self, torch_seed: int, python_seed: int) -> None:
        super().__init__(torch_seed)
        self.random = random.Random(python_seed)
        self.draws: list[tuple[str, bool, Tensor]] = []  # (purpose, whether uniform, numbers)
        self.coins: list[float] = []

    def frames(self, purpose, frames, levels, shape):
        return self.note(purpose, False, super().frames(purpose, frames, levels, shape))

    def uniforms(self, purpose, frames, levels, shape):
        return self.note(purpose, True, super().uniforms(purpose, frames, levels, shape))

    def clip(self, purpose, num_frames, level, shape):
        drawn = super().clip(purpose, num_frames, level, shape)
        self.draws.append((purpose, False, drawn.transpose(0, 1)))
        return drawn

    def note(self, purpose, uniform, drawn):
        self.draws += [(purpose, uniform, draw) for draw in drawn]
        return drawn

    def uniform(self, purpose, index):
        self.coins.append(super().uniform(purpose, index))
        return self.coins[-1]


class Witness(BeamSearch):
    """The method as it is; keeps what is judged and what each beam finishes."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.judged: list[list[list[Candidate]]] = []
        self.finished_frames: list[Tensor] = []

    def sweep(self):
        """Beam after beam, as the official code does: its random numbers come in that order."""
        return [row for number in range(len(self.beams)) for row in self.step([number])]

    def judge(self, candidates, finished):
        self.judged.append(candidates)
        self.finished_frames.append(finished)
        return super().judge(candidates, finished)


def replay_video(settings: dict, golden: dict) -> Iterator[Check]:
    case, conditions, seed = settings["settings"], settings["conditions"], settings["seed"]
    model = Toy(settings, golden["toy.dino_W"])
    positive = torch.tensor(conditions["cond"][conditions["base_prompt"]])[None]
    text = Text(conditions["base_prompt"], positive, torch.tensor(conditions["uncond"])[None])
    noise, trace = RecordedStreams(seed["torch"], seed["python_random"]), Snapshots()
    config = ScalingNoise(candidates=case["k"], beams=case["m"], explore=case["explore_probability"], proposals=ACTIONS)
    stream = Witness(Context(model, text, noise, trace), config, case["I"] + 1, 0)
    if settings["base"]["mode"] == "given":
        stream.start(frames_first(golden["base.latents"]))
    video = torch.cat(list(stream.latents()))
    calls = model.record
    if settings["base"]["mode"] == "sampled":
        yield from check_base(settings, golden, text, calls)
        calls = calls[case["N"] :]

    yield from tables(model.solver, golden, "tables")
    yield compare("queue.init", trace.queues[0].latents, frames_first(golden["queue.init"]), LATENTS)
    yield from check_queues(stream, golden, case)
    yield from check_search(stream, golden, case)
    yield from check_frames(stream, golden, case, video)
    yield from check_windows(model, golden, case, calls, noise)
    yield from check_draws(golden, case, noise)
    counts = settings["counts"]
    yield compare("denoiser calls", model.calls, counts["eps_calls_base"] + counts["eps_calls_search"])
    yield compare("number of draws", len(noise.draws), counts["draws"])
    yield compare("rng.after_rand16", torch.rand(16, generator=noise.generator), golden["rng.after_rand16"])
    yield compare("rng.after_python", [noise.random.random() for _ in range(8)], golden["rng.after_python"])


def check_base(settings, golden, text, calls) -> Iterator[Check]:
    yield compare("base.x_T", calls[0]["x"], frames_first(golden["base.x_T"]), DRAWS)
    fresh = Toy(settings, golden["toy.dino_W"])
    base = sample_clip(fresh, text, ReplayNoise(settings["seed"]["torch"]))
    yield compare("base.latents", base, frames_first(golden["base.latents"]), LATENTS)


def check_queues(stream: Witness, golden, case) -> Iterator[Check]:
    """All beams after the pre-step and after iterations: what the sweep of their body windows was shown next."""
    bodies = [queue for queue in stream.context.trace.queues[1:] if len(queue) == case["L"]]
    bodies += [beam.queue for beam in stream.beams]
    by_iteration = torch.stack([queue.latents for queue in bodies]).unflatten(0, (-1, case["m"])).transpose(2, 3)
    yield compare("beams.after_prestep", by_iteration[0], golden["beams.after_prestep"], LATENTS)
    for number, expected in golden.rows("beams.snapshot_iterations", "beams.after_shift"):
        yield compare(f"beams.after_shift {number}", by_iteration[number + 1], expected, LATENTS)
    oldest = by_iteration[0, stream.context.trace.events["search"][0]["parents"], :, :1]
    before_shift = torch.cat([oldest, by_iteration[1, :, :, :-1]], 2)
    yield compare("beams.it0_after_selection", before_shift, golden["beams.it0_after_selection"], LATENTS)


def check_search(stream: Witness, golden, case) -> Iterator[Check]:
    """Every candidate with its noise, prediction and reward; every decision."""
    events = stream.context.trace.events
    names = [[ACTIONS.index(name) for name in event["names"]] for event in events["proposals"]]
    yield compare("search.actions", names, golden["search.actions"].flatten(0, 1), EXACT)
    tails = [queue for queue in stream.context.trace.queues if len(queue) == case["f"]]
    noises = torch.stack([queue.latents[-1] for queue in tails])
    yield compare("search.cand_noise", noises, golden["search.cand_noise"].flatten(0, 2), LATENTS)
    clean = torch.stack([candidate.clean for rows in stream.judged for row in rows for candidate in row])
    yield compare("search.cand_x0_last", clean[:, -1], golden["search.cand_x0_last"].flatten(0, 2), CLEAN)
    for row, (number,) in enumerate(golden.rows("search.full_iterations")):
        candidates = [candidate for row in stream.judged[number] for candidate in row]
        stepped = torch.stack([candidate.tail.latents for candidate in candidates]).transpose(1, 2)
        predicted = torch.stack([candidate.clean for candidate in candidates]).transpose(1, 2)
        expected = golden["search.cand_output"][row].flatten(0, 1)
        yield compare(f"search.cand_output {number}", stepped, expected, LATENTS)
        yield compare(f"search.cand_x0 {number}", predicted, golden["search.cand_x0"][row].flatten(0, 1), CLEAN)

    search = events["search"]
    scores = torch.tensor([event["rewards"] for event in search], dtype=torch.float64)
    yield compare("search.rewards", official_score(scores, case["f"]), golden["search.rewards"], SCORES)
    yield compare("select.u", stream.context.noise.coins, golden["select.u"], EXACT)
    yield compare("select.explore", [event["explored"] for event in search], golden["select.explore"].int(), EXACT)
    yield compare("select.parent", [event["parents"] for event in search], golden["select.parent"], EXACT)
    for i, name in enumerate(("tail_beam", "tail_candidate")):
        chosen = [[tail[i] for tail in event["tails"]] for event in search]
        yield compare(f"select.{name}", chosen, golden[f"select.{name}"], EXACT)


def check_frames(stream: Witness, golden, case, video) -> Iterator[Check]:
    """What the beams finish, what their descendants keep of it, and the video that leaves the stream."""
    finished = torch.stack(stream.finished_frames)
    yield compare("emit.prestep_latent", video[0], golden["emit.prestep_latent"], LATENTS)
    yield compare("emit.latents", finished, golden["emit.latents"], LATENTS)
    pictures = to_uint8(FifoToy.images(torch.cat([video[:1], finished.flatten(0, 1)]))).int()
    yield from compare_images("emit.prestep_image_u8", pictures[:1], golden["emit.prestep_image_u8"][None])
    yield from compare_images("emit.images_u8", pictures[1:], golden["emit.images_u8"].flatten(0, 1))
    shown = torch.cat([video[:1], finished.flatten(0, 1)[:-1]])  # the latest frame of any beam, at each beam's turn
    before = [0] + [1 + turn for turn in range(case["I"] * case["m"] - 1)]
    anchors = to_unit(FifoToy.images(shown[before]))
    yield compare("search.anchor_image", anchors, golden["search.anchor_image"].flatten(0, 1), LATENTS)

    histories = [[(-1, -1)] for _ in range(case["m"])]
    for number, event in enumerate(stream.context.trace.events["search"]):
        histories = [[*histories[parent], (number, parent)] for parent in event["parents"]]
    yield compare("final.source", histories, golden["final.source"], EXACT)
    videos = torch.stack(
        [
            torch.stack([finished[number, beam] if number >= 0 else video[0] for number, beam in history])
            for history in histories
        ]
    )
    yield compare("final.latents", videos, golden["final.latents"], LATENTS)
    yield compare("final.latents of the stream", video, golden["final.latents"][0], LATENTS)
    pictures = to_uint8(FifoToy.images(videos.flatten(0, 1))).int()
    yield from compare_images("final.images_u8", pictures, golden["final.images_u8"].flatten(0, 1))


def check_windows(model, golden, case, calls, noise) -> Iterator[Check]:
    """The pre-step and the first beam's first iteration, window by window, with the step of all frames, kept or not."""
    first = ["prestep"] * case["R"] + ["search"] * case["k"] + ["diagonal"] * (case["R"] - 1)
    calls = calls[: len(first)]
    windows = [*reversed(range(case["R"])), *[case["R"] - 1] * case["k"], *reversed(range(case["R"] - 1))]
    candidates = [-1] * case["R"] + list(range(case["k"])) + [-1] * (case["R"] - 1)
    yield compare("it0.iteration", [-1 if stage == "prestep" else 0 for stage in first], golden["it0.iteration"], EXACT)
    yield compare("it0.beam", [-1 if stage == "prestep" else 0 for stage in first], golden["it0.beam"], EXACT)
    yield compare("it0.window", windows, golden["it0.window"], EXACT)
    yield compare("it0.candidate", candidates, golden["it0.candidate"], EXACT)
    yield compare("it0.indices", torch.stack([call["levels"] for call in calls]), golden["it0.indices"], EXACT)
    yield compare("it0.timesteps", torch.stack([call["t"] for call in calls]), golden["it0.timesteps"], EXACT)
    for branch, name in (("cond", "eps_cond"), ("uncond", "eps_uncond"), ("out", "eps_guided")):
        if f"it0.{name}" in golden:
            outputs = torch.stack([call.get(branch, torch.zeros_like(call["x"])) for call in calls])
            yield compare(f"it0.{name}", outputs.transpose(1, 2), golden[f"it0.{name}"], CLEAN)
    steps = torch.stack([value for purpose, _, value in noise.draws if purpose.split()[0] == STAGE])
    steps = steps.unflatten(0, (-1, case["f"]))
    stepped = [
        model.solver.step(call["out"], call["x"], call["levels"], {}, z).sample
        for call, z in zip(calls, steps, strict=False)
    ]
    yield compare("it0.output", torch.stack(stepped).transpose(1, 2), golden["it0.output"], LATENTS)
    yield compare("noise.prestep", steps[: case["R"]].transpose(1, 2), golden["noise.prestep"], DRAWS)
    per_iteration = steps[case["R"] :].unflatten(0, (case["I"], case["m"], -1)).transpose(4, 3)
    yield compare(
        "noise.step", per_iteration[stored_rows(golden, "search.full_iterations")], golden["noise.step"], DRAWS
    )


def check_draws(golden, case, noise) -> Iterator[Check]:
    """Every random number in its order, with what it was for."""
    values = [value.flatten() for _, _, value in noise.draws]
    yield compare("draws.first", [value[0] for value in values], golden["draws.first"], DRAWS)
    yield compare("draws.sum", [value.double().sum() for value in values], golden["draws.sum"], 1e-4)
    yield compare("draws.numel", [len(value) for value in values], golden["draws.numel"], EXACT)
    yield compare("draws.kind", [uniform for _, uniform, _ in noise.draws], golden["draws.kind"], EXACT)
    rows = labels(noise.draws, case)
    for i, name in enumerate(("stage", "iteration", "beam", "window", "candidate", "frame")):
        yield compare(f"draws.{name}", [row[i] for row in rows], golden[f"draws.{name}"], EXACT)
    warm = torch.stack([value for purpose, _, value in noise.draws if purpose == "warm_start"])
    yield compare("noise.warm", warm, frames_first(golden["noise.warm"]), DRAWS)
    for name, stage in (("noise.push_prestep", 6), ("noise.push", 4)):
        drawn = torch.stack([draw[2] for draw, row in zip(noise.draws, rows, strict=True) if row[0] == stage])
        yield compare(name, drawn, golden[name].reshape(drawn.shape), DRAWS)


def labels(draws, case) -> list[tuple[int, ...]]:
    """(stage, iteration, beam, window, candidate, frame) of each draw, -1 where one does not apply.

    What a draw is for comes from its purpose. Pushed frames and candidates share theirs and are told apart by their
    place: pushes end an iteration.
    """
    f, m, last = case["f"], case["m"], case["R"] - 1
    per_beam = (case["k"] + last) * f
    count, pushed, rows = {"sample": 0, "warm_start": 0, STAGE: -case["R"] * f}, 0, []
    for purpose, _, _ in draws:
        kind, *words = purpose.split()
        beam, candidate = [int(word) for word in words if word.isdigit()] or (0, 0)
        number = count.get(kind)
        if kind in count:
            count[kind] += 1
        if kind == STAGE and number < 0:
            rows.append((5, -1, -1, -(number // f) - 1, -1, number % f))
        elif kind == STAGE:
            window = number % per_beam // f  # of this beam's calls: candidates for the tail, then the others
            tail = window < case["k"]
            place = (last, candidate) if tail else (last - 1 - (window - case["k"]), -1)
            rows.append((3, number // per_beam // m, beam, *place, number % f))
            pushed = 0
        elif kind == "push":
            turn = count[STAGE] // per_beam
            if turn % m == 0 and pushed < m:
                rows.append((4 if turn else 6, turn // m - 1, beam, -1, -1, -1))
                pushed += 1
            else:
                rows.append((7, turn // m, beam, last, candidate, -1))
        else:
            frame = number if kind == "warm_start" else -1
            rows.append((STAGES[kind], number if kind == "sample" else -1, -1, -1, -1, frame))
    return rows


def replay_unit(settings: dict, golden: dict) -> Iterator[Check]:
    """Candidate noises, low-pass masks and rewards as single functions."""
    model = Toy(settings, golden["toy.dino_W"])
    first_seed, text = int(settings["seed"]["action_i"].split("+")[0]), Text("", torch.zeros(1, 4), torch.zeros(1, 4))
    previous = frames_first(golden["actions.prev"])
    for i, name in enumerate(ACTIONS):
        noise = ReplayNoise(first_seed + i)
        made = PROPOSALS[name](previous, Source(Context(model, text, noise, Trace()), "unit", 0))
        yield compare(f"actions.out_{i} {name}", made, frames_first(golden[f"actions.out_{i}"]), LATENTS)
        after = torch.rand(16, generator=noise.generator)
        yield compare(f"actions.after_rand16_{i}", after, golden[f"actions.after_rand16_{i}"])
    for name in golden:
        if name.startswith("mask."):
            height, width = map(int, name.removeprefix("mask.").split("x"))
            yield compare(name, gaussian_low_pass(height, width), golden[name], 1e-6)
    for name in (name for name in settings["reward_cases"] if f"reward.images_{name}" in golden):
        anchor, *frames = model.features(golden[f"reward.images_{name}"])
        score = official_score(last_cosine(anchor, frames[-1][None]), len(frames))
        yield compare(f"reward.score_{name}", [score], golden[f"reward.score_{name}"], SCORES)
