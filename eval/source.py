"""What a source file says to Python: its syntax tree without docstrings, annotations and texts for readers."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

CARDS = {"Metric", "Card"}  # what a reader must know about a thing: its name, then texts
# Texts of cards and fields, which readers need.
TEXTS = {"label", "short", "summary", "description", "source", "paper", "url", "licence", "notes", "cost"}


@cache
def tree(path: Path, shown: bool) -> str:
    """What a file says to Python, as text; without the texts for readers unless they are `shown`."""
    return ast.dump(_Program(shown).visit(parsed(path)))


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file, without what it imports for annotations."""
    return _Running().visit(ast.parse(path.read_bytes(), str(path)))


class _Running(ast.NodeTransformer):
    """Takes out `if TYPE_CHECKING:`."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        node = self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


class _Program(ast.NodeTransformer):
    """Takes out docstrings, annotations and, where asked, texts for readers."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node.value) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """The name of a field stays; its type is an annotation, and what a default may be is in the request."""
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not self.shown:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in CARDS | {"Field", "replace"}:
                node.keywords = [word for word in node.keywords if word.arg not in TEXTS or not _is_text(word.value)]
            if name in CARDS:
                node.args = [arg for i, arg in enumerate(node.args) if i == 0 or not _is_text(arg)]
        return self.generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
