"""Write docs/methods.md and README.md's table from the cards of this project's methods: `python docs/methods.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from miga.engine.abilities import lacking
from miga.engine.method import METHODS, Method
from miga.models import registry
from miga.models.registry import BASES

PAGE = Path(__file__).with_name("methods.md")
README = PAGE.parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- methods: .*? -->\n).*?(<!-- end -->)", re.S)
OURS = ("miga", "baselines")
HEAD = """# Methods

Made by `python docs/methods.py` from the methods' cards, which say the same to `miga methods --json`. Each has a page
of its own, with its flags and with what differs from the original code. *Finite* methods make a video of a given
length, *endless* ones go on until they are stopped. A base model is *published* where the authors have results on it,
and a *port* of ours elsewhere; the sprites models count as the ones that they are small relatives of.
"""


def own(names: list[str], known: Any) -> list[str]:
    """Those of this project, in their order."""
    return [name for name in names if known.module(name).split(".")[0] in OURS]


def length(method: Method) -> str:
    return "control" if method.card.control else "endless" if method.card.length == "infinite" else "finite"


def page_of(name: str) -> str:
    """Where a method's own page is, relative to docs/."""
    module = METHODS.module(name)
    return "method.md" if module.startswith("miga.method") else f"../{module.replace('.', '/')}/README.md"


def bases(method: Method, published: bool) -> str:
    """Base models that a method runs on, either those of its authors or the others; small relatives are left out."""
    specs = [spec for spec in map(registry.get, own(registry.names(), BASES)) if not spec.stands_for]
    able = [spec.name for spec in specs if not lacking(method.card.needs, spec.abilities)]
    return ", ".join(name for name in able if method.card.is_port(name) != published)


def presets(method: Method) -> str:
    """Names of a method's presets, its default first; nothing where it has none."""
    field = method.config.model_fields.get("preset")
    if field is None:
        return ""
    names = list(dict.fromkeys(_strings(field.annotation)))
    first = f"`{field.default}` (default), " if field.default else ""
    others = ", ".join(f"`{name}`" for name in names if name != field.default)
    return f"{first}{others}: {field.description}" if field.description else first + others


def _strings(annotation: Any) -> Iterator[str]:
    for part in get_args(annotation):
        yield from [part] if isinstance(part, str) else _strings(part)


def section(name: str) -> str:
    """All that a card says, in full."""
    method, card = METHODS.get(name), METHODS.get(name).card
    lines = {
        "Length": f"{length(method)}; " + ("several prompts" if card.multi_prompt else "one prompt"),
        "Memory and calls": card.cost,
        "Published on": bases(method, True) if card.published else "",
        "Our ports to": bases(method, False),
        "Runs on": "" if card.published else bases(method, True),
        "Presets": presets(method),
        "Paper": f"[{card.paper}]({card.url}), {card.year}" if card.paper else "",
        "Licence of the original": card.licence,
        "Notes": card.notes,
    }
    said = "".join(f"- **{word}**: {text.replace('|', '/')}\n" for word, text in lines.items() if text)
    return f"\n## {card.label}\n\n`{name}` ([page]({page_of(name)})). {card.summary}\n\n{said}"


def page() -> str:
    """The page: a table of all contenders, a section for each, and the controls."""
    names = own(METHODS.names(), METHODS)
    controls = [name for name in names if METHODS.get(name).card.control]
    contenders = [name for name in names if name not in controls]
    rows = "".join(
        f"| [{method.card.label}](#{anchor(method.card.label)}) | {method.card.summary} | {length(method)} | "
        f"{method.card.cost} | {method.card.licence or '–'} |\n"
        for method in map(METHODS.get, contenders)
    )
    table = f"\n| method | idea | length | memory and calls | licence of the original |\n|---|---|---|---|---|\n{rows}"
    last = "".join(f"- `{name}`: {METHODS.get(name).card.summary}\n" for name in controls)
    bracket = f"\n## Controls\n\nThey bracket every metric and are no contenders.\n\n{last}"
    return HEAD + table + "".join(map(section, contenders)) + bracket


def readme(text: str) -> str:
    """README.md with its table of contenders made again."""
    contenders = [name for name in own(METHODS.names(), METHODS) if not METHODS.get(name).card.control]
    rows = "".join(
        f"| [{card.label}](docs/methods.md#{anchor(card.label)}) | {length(METHODS.get(name))} | {card.summary} |\n"
        for name, card in ((name, METHODS.get(name).card) for name in contenders)
    )
    return BLOCK.sub(lambda found: f"{found[1]}| method | length | idea |\n|---|---|---|\n{rows}{found[2]}", text)


def anchor(title: str) -> str:
    """Of a heading, as Markdown pages have it."""
    return title.lower().replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
