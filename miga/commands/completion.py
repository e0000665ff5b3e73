"""`miga completion`: the shell completes commands and options."""

from __future__ import annotations

from typing import Literal

from tyro.conf import Positional


def completion(shell: Positional[Literal["bash", "zsh", "fish"]]) -> None:
    """Print the script with which a shell completes this command line; it knows the commands of this version.

    bash: `miga completion bash > ~/.local/share/bash-completion/completions/miga`;
    zsh: `miga completion zsh > ~/.zfunc/_miga`, with ~/.zfunc in fpath;
    fish: `miga completion fish > ~/.config/fish/completions/miga.fish`.

    Example: miga completion bash

    Args:
        shell: Which one.
    """
    from tyro.extras import SubcommandApp

    from miga.commands import COMMANDS, function

    whole = SubcommandApp()
    groups = {name.split()[0]: SubcommandApp() for name in COMMANDS if " " in name}
    for first, group in groups.items():
        whole.command(group, name=first)
    for name, (_, summary) in COMMANDS.items():
        first, _, second = name.partition(" ")
        if second:
            groups[first].command(function(name), name=second, help=summary)
        elif first not in groups:
            whole.command(function(name), name=first, help=summary)
    whole.cli(prog="miga", args=["--tyro-write-completion", shell, "-"])
