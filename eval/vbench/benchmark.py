"""VBench as a benchmark of a suite: metrics of one pass over each video, through the networks that the suite names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from eval.benchmark import Benchmark, Need, Prompt, Settings, Shape, Sheet, Work
from eval.metric import METRICS, Metric
from eval.parsing import known
from eval.vbench import CUSTOM, STANDARD, VBENCH
from eval.vbench.lens import LENSES, NONE, Network, transformer

if TYPE_CHECKING:
    import pandas as pd

    from eval.tables import Table
    from eval.vbench.faults import Clip
    from eval.vbench.score import Backbones
    from eval.video import Frames

PER_FRAME = (*VBENCH, "imaging_quality", "aesthetic_quality", "sharpness")  # metrics with a number per frame over time

CONSISTENCIES = ("subject_consistency", "background_consistency")
BETWEEN = {  # clips, where VBench-Long is fused
    "subject_consistency": Network("DINOv2 ViT-B/14", lambda *_: transformer(257)),
    "background_consistency": Network("DreamSim", lambda *_: 3 * transformer(197)),
}
BY_PROMPT = (*VBENCH, "dynamic_degree")


class VBenchSettings(Settings):
    """VBench's own networks, unless others are named."""

    prompts: str = Field(
        description="list of {id, prompt, dimensions} (YAML or JSON), relative to the repository; a prompt with "
        "dimensions is measured on no others of VBench's"
    )
    backbones: str = Field("vbench", description="networks that the metrics look through (`miga.backbones`)")
    metrics: list[str] = Field(list(STANDARD), description="registered metrics (`miga metrics` lists them)")


class VBench(Benchmark):
    """beside: metrics that the main table shows next to the overall score, as far as a suite asks for them."""

    name = table = "vbench"
    settings = VBenchSettings
    by_video = True
    beside = ("repetition", "motion", "dynamic_degree")
    curves = {"lags": "lag_mean"}  # figure -> the metric that it draws

    def roots(self, settings: VBenchSettings) -> list[str]:
        metrics = [METRICS.get(name) for name in settings.metrics]
        deciding = {part.__module__ for metric in metrics for part in (metric.part, metric.formula) if callable(part)}
        return ["eval.vbench.score", LENSES.module(settings.backbones), *sorted(deciding)]

    def formulas(self, settings: VBenchSettings) -> dict[str, list]:
        return {name: METRICS.get(name).computed for name in settings.metrics}

    def weights(self, settings: VBenchSettings) -> list[Path]:
        return LENSES.get(settings.backbones).weights(settings.metrics)

    def gpu(self, settings: VBenchSettings) -> bool:
        return LENSES.get(settings.backbones).gpu

    def work(self, settings: VBenchSettings, prompt: Prompt, video: Shape) -> list[Work]:
        """Each network once, with all metrics that look through it."""
        lens, asked = LENSES.get(settings.backbones), {}
        for name in measured(prompt, settings.metrics):
            asked.setdefault(lens.network(METRICS.get(name).part) or NONE, []).append(name)
        frames = self.looked_at(prompt, video)
        return [
            Work(network.name, tuple(names), frames * network.gflop(video.height, video.width, video.fps) / 1000)
            for network, names in asked.items()
        ]

    def looked_at(self, prompt: Prompt, video: Shape) -> int:
        """Frames that the networks see of a video."""
        return video.frames

    def check(self, settings: VBenchSettings) -> None:
        where = f"in the benchmark {self.name!r}:"
        known(settings.backbones, LENSES.names(), f"backbones {where}")
        for name in settings.metrics:
            known(name, METRICS.names(), f"metric {where}")
            if METRICS.get(name).formula is None:
                raise ValueError(f"metric {where} {name!r} has no formula on a pass over a video: remove it there")

    def needs(self, settings: VBenchSettings, root: Path) -> Iterator[Need]:
        return LENSES.get(settings.backbones).needs(settings.metrics)

    def fetch(self, settings: VBenchSettings, root: Path, say: Callable[[str], None]) -> None:
        LENSES.get(settings.backbones).fetch(settings.metrics, say)

    def score(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: VBenchSettings, folder: Path, cache: Path
    ) -> pd.DataFrame:
        import pandas as pd

        return pd.concat(self.score_each(videos, prompts, settings, folder, cache), ignore_index=True)

    def score_each(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: VBenchSettings, folder: Path, cache: Path
    ) -> Iterator[pd.DataFrame]:
        """While the networks look at a video, the next one is decoded."""
        from eval.records import read_beside
        from eval.vbench.score import shown, table_of
        from eval.video import ahead

        networks = self.networks(settings)
        for path, frames in ahead(videos):
            said = read_beside(path)
            asked = prompts[said.prompt_id]
            found = self.rows(path, networks, measured(asked, settings.metrics), asked, shown(said), frames)
            yield table_of([(said, found)])

    def networks(self, settings: VBenchSettings) -> Backbones:
        """Those that its metrics look through, and no others."""
        return LENSES.get(settings.backbones).load(settings.metrics)

    def rows(
        self,
        path: Path,
        networks: Backbones,
        metrics: Sequence[str],
        asked: Prompt,
        shown: str | None,
        frames: Iterator[Frames],
    ) -> list[dict[str, Any]]:
        """Of one video. shown: the prompt that all of it follows, None for a story."""
        from eval.vbench.score import score_video

        return score_video(path, networks, metrics=metrics, prompt=shown, decoded=frames)

    def faults(self, videos: Sequence[Path], settings: VBenchSettings, strength: float) -> pd.DataFrame:
        from eval.vbench.faults import scores

        return scores(self.faulty(videos, strength), self.networks(settings), settings.metrics)

    def faulty(self, videos: Sequence[Path], strength: float) -> Iterator[Clip]:
        """The videos with every fault that a file is enough for."""
        from eval.vbench.faults import faulty

        return faulty(videos, strength)

    def board(self, settings: VBenchSettings) -> tuple[Metric, ...]:
        """The columns of the main table, then what the suite asks for besides."""
        return (*self.columns(settings), *map(METRICS.get, self._further(settings)))

    def columns(self, settings: VBenchSettings) -> tuple[Metric, ...]:
        """The paper's, as far as they are measured, and what a frozen, a repeating and a wrong video cannot win."""
        return tuple(map(METRICS.get, self._shown(settings)))

    def _shown(self, settings: VBenchSettings) -> list[str]:
        main = (*VBENCH, "imaging_quality", "aesthetic_quality", "overall", *self.beside, "drift")
        return [name for name in main if set(METRICS.get(name).parts) <= set(settings.metrics)]

    def _further(self, settings: VBenchSettings) -> list[str]:
        shown = self._shown(settings)
        return [name for name in settings.metrics if name not in shown]

    def plots(self, settings: VBenchSettings) -> list[str]:
        return [plot for plot, metric in self.curves.items() if metric in settings.metrics]

    def own(self, scores: pd.DataFrame, settings: VBenchSettings) -> pd.DataFrame:
        own = super().own(scores, settings)
        return own[own["protocol"] == self.protocol(settings)]

    def protocol(self, settings: VBenchSettings) -> str:
        """Of its scores, which differ from those of the same metrics under another one."""
        return LENSES.get(settings.backbones).protocol

    def tables(self, settings: VBenchSettings) -> dict[str, Callable[[pd.DataFrame, pd.DataFrame, Sheet], Table]]:
        """The main table, its other metrics, and drift by the operators of published work."""
        further = self._further(settings)

        def others(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.tables import comparison

            return comparison(
                f"{self.table}-further", f"{self.title(sheet)}, further ones", self.own(scores, settings), facts,
                tuple(map(METRICS.get, further)), sheet.entries, notes=[sheet.note], resamples=sheet.resamples,
            )  # fmt: skip

        def drift(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.over_time import over_time

            return over_time(
                f"{self.table}-drift", f"{self.title(sheet)}, early against late frames", self.own(scores, settings),
                facts, [name for name in PER_FRAME if name in settings.metrics], sheet.entries, notes=[sheet.note],
                resamples=sheet.resamples,
            )  # fmt: skip

        found = super().tables(settings) | ({f"{self.table}-further": others} if further else {})
        return found | ({f"{self.table}-drift": drift} if set(PER_FRAME) & set(settings.metrics) else {})

    def title(self, sheet: Sheet) -> str:
        return f"{sheet.title}: metrics of VBench"


class VBenchLongSettings(VBenchSettings):
    """As VBench's, on the dimensions that VBench-Long knows of custom videos."""

    metrics: list[str] = Field(list(CUSTOM), description="dimensions of VBench, each measured on every clip")


class VBenchLong(VBench):
    """VBench-Long: every dimension on clips of two seconds, ten for prompts of those dimensions of VBench's suite that
    want them (`eval.vbench.long`); without a weight on clip-to-clip consistency, which has columns of its own."""

    name = table = "vbench-long"
    settings = VBenchLongSettings

    def roots(self, settings: VBenchLongSettings) -> list[str]:
        return [*super().roots(settings), "eval.vbench.long"]

    def check(self, settings: VBenchLongSettings) -> None:
        super().check(settings)
        for name in settings.metrics:
            known(name, CUSTOM, f"dimension in the benchmark {self.name!r}:")

    def rows(
        self,
        path: Path,
        networks: Backbones,
        metrics: Sequence[str],
        asked: Prompt,
        shown: str | None,
        frames: Iterator[Frames],
    ) -> list[dict[str, Any]]:
        from eval.vbench.long import score_video

        return score_video(path, networks, metrics=metrics, seconds=self._seconds(asked), decoded=frames)

    def looked_at(self, prompt: Prompt, video: Shape) -> int:
        from eval.vbench.long import spans

        return sum(end - start for start, end in spans(video.frames, video.fps, self._seconds(prompt)))

    def _seconds(self, prompt: Prompt) -> int:
        from eval.vbench.long import SECONDS, seconds

        return seconds(getattr(prompt, "dimensions", None) or ()) or SECONDS

    def protocol(self, settings: VBenchLongSettings) -> str:
        return f"{super().protocol(settings)}-long"

    def columns(self, settings: VBenchLongSettings) -> tuple[Metric, ...]:
        return tuple(map(METRICS.get, settings.metrics))

    def board(self, settings: VBenchLongSettings) -> tuple[Metric, ...]:
        between = [f"{name}_clip_to_clip" for name in settings.metrics if name in CONSISTENCIES]
        return (*self.columns(settings), *map(METRICS.get, between))

    def tables(self, settings: VBenchLongSettings) -> dict[str, Callable[[pd.DataFrame, pd.DataFrame, Sheet], Table]]:
        """Each video the mean of its clips, as all tables here have it; and the mean over all clips, as papers do."""

        def per_video(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.tables import comparison

            return comparison(
                self.table, f"{self.title(sheet)}, mean over videos", self.own(scores, settings), facts,
                self.board(settings), sheet.entries, notes=[sheet.note], resamples=sheet.resamples,
            )  # fmt: skip

        def per_clip(scores: pd.DataFrame, facts: pd.DataFrame, sheet: Sheet) -> Table:
            from eval.tables import over_clips

            return over_clips(
                f"{self.table}-clips", f"{self.title(sheet)}, mean over all clips of all videos",
                self.own(scores, settings), facts, self.columns(settings), sheet.entries, notes=[sheet.note],
            )  # fmt: skip

        return {self.table: per_video, f"{self.table}-clips": per_clip}

    def title(self, sheet: Sheet) -> str:
        return f"{sheet.title}: metrics of VBench-Long"


class VBenchLongFused(VBenchLong):
    """VBench-Long as its published commands have it: half of both consistencies is that between a video's clips, by
    DINOv2 and DreamSim, in which VBench's own tables are."""

    name = table = "vbench-long-fused"

    def roots(self, settings: VBenchLongSettings) -> list[str]:
        return [*super().roots(settings), "eval.vbench.between"]

    def weights(self, settings: VBenchLongSettings) -> list[Path]:
        from eval.vbench.weights import between, find

        return super().weights(settings) + [path for path in map(find, between(settings.metrics)) if path]

    def check(self, settings: VBenchLongSettings) -> None:
        super().check(settings)
        if settings.backbones != "vbench":
            raise ValueError(
                f"in the benchmark {self.name!r}: backbones {settings.backbones!r}: its tables hold for VBench's own "
                "networks alone: remove the key, or take vbench-long"
            )

    def needs(self, settings: VBenchLongSettings, root: Path) -> Iterator[Need]:
        from eval.vbench.weights import between, needs

        yield from super().needs(settings, root)
        yield from needs(between(settings.metrics))

    def fetch(self, settings: VBenchLongSettings, root: Path, say: Callable[[str], None]) -> None:
        from eval.vbench import weights

        super().fetch(settings, root, say)
        weights.fetch(weights.between(settings.metrics), say=say)

    def work(self, settings: VBenchLongSettings, prompt: Prompt, video: Shape) -> list[Work]:
        from eval.vbench.long import spans

        clips = len(spans(video.frames, video.fps, self._seconds(prompt)))
        own = measured(prompt, settings.metrics)
        return super().work(settings, prompt, video) + [
            Work(network.name, (metric,), clips * network.gflop(video.height, video.width, video.fps) / 1000)
            for metric, network in BETWEEN.items()
            if metric in own
        ]

    def networks(self, settings: VBenchLongSettings) -> Backbones:
        from eval.vbench.between import fused

        return fused(super().networks(settings), settings.metrics)

    def protocol(self, settings: VBenchLongSettings) -> str:
        return f"{super().protocol(settings)}-fused"

    def title(self, sheet: Sheet) -> str:
        return f"{super().title(sheet)}, fused"


def measured(prompt: Prompt, metrics: Sequence[str]) -> list[str]:
    """Metrics of a prompt's videos: one that names dimensions of VBench is measured on no others of them.

    Imaging and aesthetic quality, whose prompts in VBench's own suite serve nothing else here, are measured on all.
    """
    own = getattr(prompt, "dimensions", None)
    return [metric for metric in metrics if own is None or metric in own or metric not in BY_PROMPT]


BENCHMARK, LONG, FUSED = VBench(), VBenchLong(), VBenchLongFused()
