"""Charts are called what the program calls them: `alpha = p.chart(...)` makes a chart that prints as alpha."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from types import FrameType


def assigned_name() -> str | None:
    """The name that the caller's caller assigns the call in progress to, if its source line tells."""
    caller = sys._getframe(2)  # a frame held by a variable of its own would keep all frames above it alive
    source = inspect.getframeinfo(caller).code_context
    if not source:
        return None
    try:
        tree = ast.parse(source[0].strip())
    except SyntaxError:
        return None  # one line of a longer statement
    found = list(_assignments(tree))
    if len(found) > 1:
        column = _column(caller, len(source[0]) - len(source[0].lstrip()))
        found = [(name, call) for name, call in found if call.col_offset == column]
    return found[0][0] if len(found) == 1 else None


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Names paired with the `.chart` calls assigned to them, one by one in a tuple."""
    for statement in tree.body:
        if not isinstance(statement, ast.Assign):
            continue
        target, value = statement.targets[0], statement.value
        pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=False))
        for name, call in pairs:
            if not (isinstance(name, ast.Name) and isinstance(call, ast.Call)):
                continue
            if isinstance(call.func, ast.Attribute) and call.func.attr == "chart":
                yield name.id, call


def _column(frame: FrameType, indent: int) -> int | None:
    """Where in its line the instruction being executed stands."""
    if not hasattr(frame.f_code, "co_positions"):
        return None
    column = list(frame.f_code.co_positions())[frame.f_lasti // 2][2]
    return None if column is None else column - indent
