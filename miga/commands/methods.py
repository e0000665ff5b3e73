"""`miga methods`: what is installed."""

from __future__ import annotations


def methods(json: bool = False) -> None:
    """List the methods that are installed, from this repository and from other packages.

    Example: miga methods --json

    Args:
        json: Print everything that their cards say, and their parameters, as JSON.
    """
    from dataclasses import asdict
    from json import dumps

    from miga.engine.method import METHODS

    found = {name: METHODS.get(name) for name in METHODS.names()}
    if json:
        cards = {n: asdict(m.card) | {"params": m.config.model_json_schema()["properties"]} for n, m in found.items()}
        print(dumps(cards, indent=1, default=str))
        return
    for name, method in found.items():
        card = method.card
        print(f"{name:<16} {card.label:<18} {'control' if card.control else card.length:<9} {card.summary}")
