"""VBench as a benchmark of a suite: metrics of one pass over each video, through the networks that the suite names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from eval.benchmark import Benchmark, Need, Prompt, Settings, Sheet
from eval.metric import METRICS, Metric
from eval.parsing import known
from eval.vbench import STANDARD, VBENCH
from eval.vbench.lens import LENSES

if TYPE_CHECKING:
    import pandas as pd


class VBenchSettings(Settings):
    """VBench's own networks, unless others are named."""

    prompts: str = Field(
        description="list of {id, prompt, dimensions} (YAML or JSON), relative to the repository; a prompt with "
        "dimensions is measured on no others of VBench's"
    )
    backbones: str = Field("vbench", description="networks that the metrics look through (`miga.backbones`)")
    metrics: list[str] = Field(list(STANDARD), description="registered metrics (`miga metrics` lists them)")


class VBench(Benchmark):
    name = table = "vbench"
    settings = VBenchSettings
    by_video = True

    def roots(self, settings: VBenchSettings) -> list[str]:
        metrics = [METRICS.get(name) for name in settings.metrics]
        deciding = {part.__module__ for metric in metrics for part in (metric.part, metric.formula) if callable(part)}
        return ["eval.vbench.score", LENSES.module(settings.backbones), *sorted(deciding)]

    def formulas(self, settings: VBenchSettings) -> dict[str, list]:
        return {name: METRICS.get(name).computed for name in settings.metrics}

    def weights(self, settings: VBenchSettings) -> list[Path]:
        return LENSES.get(settings.backbones).weights()

    def gpu(self, settings: VBenchSettings) -> bool:
        return LENSES.get(settings.backbones).gpu

    def check(self, settings: VBenchSettings) -> None:
        where = f"in the benchmark {self.name!r}:"
        known(settings.backbones, LENSES.names(), f"backbones {where}")
        for name in settings.metrics:
            known(name, METRICS.names(), f"metric {where}")
            if METRICS.get(name).formula is None:
                raise ValueError(f"metric {where} {name!r} has no formula on a pass over a video: remove it there")

    def needs(self, settings: VBenchSettings, root: Path) -> Iterator[Need]:
        return LENSES.get(settings.backbones).needs()

    def fetch(self, settings: VBenchSettings, root: Path, say: Callable[[str], None]) -> None:
        LENSES.get(settings.backbones).fetch(say)

    def score(
        self, videos: Sequence[Path], prompts: Mapping[str, Prompt], settings: VBenchSettings, folder: Path, cache: Path
    ) -> pd.DataFrame:
        from eval.vbench.score import score_videos

        chosen = {id: measured(prompt, settings.metrics) for id, prompt in prompts.items()}
        return score_videos(videos, LENSES.get(settings.backbones).load(settings.metrics), metrics=chosen)

    def board(self, settings: VBenchSettings) -> tuple[Metric, ...]:
        """The paper's columns and ours, as far as they are measured, then what the suite asks for besides."""
        from eval.vbench.cards import MAIN

        shown = {metric.name for metric in MAIN}
        main = (metric for metric in MAIN if set(metric.parts) <= set(settings.metrics))
        return (*main, *(METRICS.get(name) for name in settings.metrics if name not in shown))

    def title(self, sheet: Sheet) -> str:
        return f"{sheet.title}: metrics of VBench"


def measured(prompt: Prompt, metrics: Sequence[str]) -> list[str]:
    """Metrics of a prompt's videos: one that names dimensions of VBench is measured on no others of them."""
    own = getattr(prompt, "dimensions", None)
    return [metric for metric in metrics if own is None or metric in own or metric not in VBENCH]


BENCHMARK = VBench()
