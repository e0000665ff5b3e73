"""What a denoiser makes of prompts alone, computed once: above all their keys and values in cross-attention.

These depend neither on the frames nor on their noise, so a video needs them once and not at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

KEPT = 3  # prompts: the two of guidance, and the next one of a story


class TextCache:
    """Lets modules that read a batch of prompts compute each prompt once; attach once to an instance.

    Prompts are told apart by their embeddings' identity, and computed one by one, so that a result does not depend on
    which others were in the batch. Outside `of` the modules are as they were, and inside for a batch of another size: a
    method may give each frame a text of its own.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.rows: Sequence[Tensor] | None = None
        self.known: dict[int, tuple[Tensor, dict[Callable, Tensor]]] = {}  # the embedding is held: ids stay unique
        for module in modules:
            module.forward = partial(self.outputs, module.forward)

    @contextmanager
    def of(self, rows: Sequence[Float[Tensor, "tokens dim"]]) -> Iterator[None]:
        """Inside, row i of every batch of prompts is made of `rows[i]`."""
        self.rows = rows
        try:
            yield
        finally:
            self.rows = None

    def outputs(self, compute: Callable, prompts: Float[Tensor, "b tokens c"]) -> Float[Tensor, "b tokens d"]:
        if self.rows is None or len(prompts) != len(self.rows):
            return compute(prompts)
        outputs = []
        for number, row in enumerate(self.rows):
            made = self.made_of(row)
            if compute not in made:
                made[compute] = compute(prompts[number : number + 1])
            outputs.append(made[compute])
        return torch.cat(outputs)

    def made_of(self, row: Tensor) -> dict[Callable, Tensor]:
        """What the modules have made of a prompt so far. The prompts that were used last are kept."""
        self.known[id(row)] = entry = self.known.pop(id(row), (row, {}))
        while len(self.known) > KEPT:
            del self.known[next(iter(self.known))]
        return entry[1]
