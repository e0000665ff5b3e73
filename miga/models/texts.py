"""What a denoiser makes of prompts alone, or of frames alone, computed once.

The former are above all keys and values of cross-attention: they depend neither on the frames nor on their noise, so a
video needs them once and not at every call. The latter are the same for the two prompts of guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

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


class BeforeTexts:
    """Lets a network compute once what is the same for all texts of a window; attach once to an instance.

    With guidance its batch holds every window `times` times, each time with another text. Until the first layer that
    reads one, all of them are the same. `layers`: those before it whose arguments are of the batch.
    """

    def __init__(self, network: nn.Module, layers: Iterable[nn.Module]) -> None:
        self.times = 1  # set before a call, for that call
        network.register_forward_hook(self.done, always_call=True)
        for layer in layers:
            layer.register_forward_pre_hook(self.take_one, with_kwargs=True)
            layer.register_forward_hook(self.repeat)

    def take_one(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        def one(x: Any) -> Any:
            return x[: len(x) // self.times] if torch.is_tensor(x) else x

        return tuple(map(one, args)), {name: one(x) for name, x in kwargs.items()}

    def done(self, network: nn.Module, args: tuple, output: Any) -> None:
        self.times = 1

    def repeat(self, layer: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple:
        if torch.is_tensor(output):
            return torch.cat([output] * self.times)
        return tuple(self.repeat(layer, args, part) for part in output)
