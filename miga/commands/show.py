"""`miga show`: one video and its sidecar as a page."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tyro.conf import Positional

if TYPE_CHECKING:
    from eval.records import Sidecar
    from miga.models.registry import Spec

MARK = '<meta name="generator" content="miga show">'
COLUMNS, STILLS = 8, 24
FACTS = (  # as the page lists them
    *("prompt", "then", "method", "params", "base", "options", "seed", "frames", "fps", "wall_seconds", "model_calls"),
    *("peak_memory_mb", "device", "precision", "start", "code", "weights_sha256", "frames_sha256"),
)


def show(video: Positional[Path], out: Path | None = None) -> None:
    """Show a video and its sidecar as a page: its frames as a sheet, what made it, the noise levels that windows saw,
    self-reflection, and the drift from its first window.

    Example: miga show red.mp4

    Args:
        video: A video with a sidecar (.json) beside it, as `miga generate` and suites write them.
        out: The page, an .html file; default: beside the video, under its name.
    """
    from jinja2 import Environment

    from eval import plots, records
    from eval.files import only_ours, write_text
    from eval.video import VideoError, frames_digest

    out = out or video.with_suffix(".html")
    if out.suffix != ".html":
        raise ValueError(f"--out {out}: the page is an .html file")
    only_ours(out, lambda page: MARK in page.read_text(encoding="utf-8"), "a page of `miga show`")
    said = records.read_beside(video)
    try:
        found = frames_digest(video)
    except VideoError as error:
        raise ValueError(f"{video}: {error}") from None
    if said.frames_sha256 != found:
        raise ValueError(f"{video}: its frames are not those that {records.sidecar_of(video).name} is about")
    facts = records.collect([records.sidecar_of(video)])
    pictures, note = {}, ""
    with tempfile.TemporaryDirectory() as folder:

        def add(title: str, draw: Callable[..., Any], *given: Any) -> None:
            path = Path(folder, f"{len(pictures)}.png")
            draw(*given, path)
            pictures[title] = base64.b64encode(path.read_bytes()).decode()

        add("Frames", sheet, video, said)
        if not records.told(said.trace, "levels").empty:
            add("Noise levels that each window saw", plots.levels, facts, facts)
        if not records.told(said.trace, "reflection").empty:
            add("Self-reflection", plots.reflection, facts, facts)
        try:
            add("Similarity to the first window", drift, video, said)
        except ValueError as error:
            note = f"Drift is not shown: {error}."
    given = {name: in_words(value) for name in FACTS if (value := getattr(said, name, None)) not in (None, [], {})}
    src = quote(Path(os.path.relpath(video, out.parent)).as_posix())
    page = Environment(autoescape=True).from_string(PAGE)
    write_text(out, page.render(mark=MARK, name=video.name, src=src, facts=given, pictures=pictures, note=note))
    print(out)


def in_words(value: Any) -> Any:
    """A value of a sidecar; of several, those that were set."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={part}" for key, part in value.items() if part not in (None, ""))
    return value


def sheet(video: Path, said: Sidecar, path: Path) -> None:
    """Frames of the whole video, evenly spaced, with their numbers."""
    from matplotlib import pyplot as plt

    from eval.video import chunks

    count = min(said.frames, STILLS)
    wanted = [round(i * (said.frames - 1) / max(count - 1, 1)) for i in range(count)]
    frames = (frame for chunk in chunks(video) for frame in chunk.numpy())
    stills = [frame for number, frame in enumerate(frames) if number in wanted]
    height, width, _ = stills[0].shape
    rows = -(-count // COLUMNS)
    size = (COLUMNS * 1.2, rows * (1.2 * height / width + 0.2))
    figure, axes = plt.subplots(rows, COLUMNS, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, number, still in zip(axes.flat, wanted, stills, strict=False):
        axis.imshow(still)
        axis.set_title(f"{number}", fontsize=7, pad=2)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def drift(video: Path, said: Sidecar, path: Path) -> None:
    """Each frame's similarity to the first window, through the networks by which methods judge frames of this model.

    `ValueError` where the model is not known here or its networks are missing.
    """
    import torch
    from matplotlib import pyplot as plt

    from eval import plots
    from eval.vbench.metrics import drift as measured
    from eval.video import chunks

    spec = known_model(said)
    window = (said.options["window"] - 1) * spec.abilities.stride + 1  # in video frames
    see = resolve_name(spec.features)(torch.device("cpu"))
    value, series = measured(torch.cat([see(chunk) for chunk in chunks(video)]), window)
    with plt.style.context(plots.STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 2.4))
        axis.plot([number / said.fps for number in range(len(series))], series, color=plots.COLOURS[1])
        axis.set_xlabel("seconds")
        axis.set_ylabel("similarity")
        axis.set_title(f"drift {value:.2%}, seen through {spec.features}")
        figure.savefig(path)
        plt.close(figure)


def known_model(said: Sidecar) -> Spec:
    """The registered model like which the video's was run."""
    from miga.models import registry
    from miga.models.folders import spec_of

    directory = Path(said.base)
    return spec_of(directory) if directory.is_dir() else registry.get(getattr(said, "model", said.base))


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{{ mark | safe }}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem }
video { width: min(100%, 24rem); image-rendering: pixelated }
img { display: block; max-width: min(100%, 44rem); max-height: 22rem; background: white }
img.sheet { max-width: 100%; max-height: none }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; overflow-wrap: anywhere }
th { white-space: nowrap; font-weight: 600 }
</style>
</head>
<body>
<h1>{{ name }}</h1>
<video src="{{ src }}" controls loop muted aria-label="{{ facts.prompt }}"></video>
<table>
{% for fact, value in facts.items() %}<tr><th scope="row">{{ fact }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
{% for title, picture in pictures.items() %}<h2>{{ title }}</h2>
<img src="data:image/png;base64,{{ picture }}" alt="{{ title }}"{% if loop.first %} class="sheet"{% endif %}>
{% endfor %}
{% if note %}<p>{{ note }}</p>{% endif %}
</body>
</html>
"""
