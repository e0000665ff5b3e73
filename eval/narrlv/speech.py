"""What a language model said, without what it thought.

Reasoning models think aloud in front of their answer, between tags that differ from family to family. The thinking
holds "yes", "no" and braces of its own, so nothing may read an answer before it is taken out.
"""

from __future__ import annotations

import re

_NAMES = r"(?:seed:)?(?:think|thinking|thought|reasoning)"
_OPEN = rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis<\|message\|>"
_CLOSE = rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>"
_MARK = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)


def spoken(text: str) -> str:
    """The answer in a text: what is left without its thinking, "" where the text was cut off inside of it.

    A block may lack its opening tag, which the prompts of some models hold already, or have it twice.
    """
    thinking, kept, start = False, [], 0
    for mark in _MARK.finditer(text):
        if mark["close"] and not thinking:
            kept.clear()
        elif mark["open"] and not thinking:
            kept.append(text[start : mark.start()])
        thinking, start = bool(mark["open"]), mark.end()
    return "" if thinking else "".join([*kept, text[start:]]).strip()
