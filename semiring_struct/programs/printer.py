"""A program as equations, loops rolled: what `print(ss.program(structure, phi))` shows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from semiring_struct.programs.program import Program
from semiring_struct.programs.recorder import Chart
from semiring_struct.programs.table import Row, Window

LETTERS = "ijkabcdefghlmnopqruvwxyz"
MOST_ROWS = 40


def equations(program: Program) -> str:
    """One line per row: `alpha[t+1, j] = ⊕_i alpha[t, i] ⊗ transition[t, i, j]   (j < 3; i < 3)`."""
    fields = ", ".join(f"{n} {_shape(s)}" for n, s in zip(program.field_names, program.field_shapes, strict=True))
    charts = ", ".join(f"{c.name} {_shape(c.shape)}" for c in program.chart_list)
    lines = [f"{program.name}: fields {fields}; charts {charts or 'none'}"]
    rows = 0
    for block in program.blocks:
        if rows > MOST_ROWS:
            lines.append(f"  ... {sum(len(b.rows) for b in program.blocks) - rows} more rows")
            break
        rows += len(block.rows)
        if block.count > 1:
            lines.append(f"  for t = 0 .. {block.count - 1}:")
        pad = "    " if block.count > 1 else "  "
        for row in block.rows:
            left = _cell(program, row.target, _sizes(row.out), block.count)
            lines.append(f"{pad}{left} = {_equation(program, row, block.count)}")
    lines.append(f"  answer = {_equation(program, program.answer, 1)}")
    c = program.cost
    lines.append(f"  cost: {c.products} products, {c.alternatives} alternatives, {c.bytes} bytes per instance")
    return "\n".join(lines)


def _shape(sizes: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")"


def _sizes(sizes: tuple[int, ...], skip: int = 0) -> dict[str, int]:
    """A letter for each size, and that size."""
    return dict(zip(LETTERS[skip : skip + len(sizes)], sizes, strict=True))


def _equation(program: Program, row: Row, turns: int) -> str:
    out = _sizes(row.out)
    ranges = [f"{x} < {n}" for x, n in out.items()]
    terms = []
    for term in row.terms:
        summed = _sizes(term.summed, len(out))
        ranges += [r for x, n in summed.items() if (r := f"{x} < {n}") not in ranges]
        factors = " ⊗ ".join(_cell(program, f, out | summed, turns) for f in term.factors) or "one"
        terms.append((f"⊕_{''.join(summed)} " if summed else "") + factors)
    tail = f"   ({', '.join(ranges)})" if ranges else ""
    return f"{' ⊕ '.join(terms) or 'zero'}{tail}"


def _cell(program: Program, window: Window, sizes: dict[str, int], turns: int = 1) -> str:
    """The name and the index expressions of a window; `sizes` are the ranges of its letters, in order.

    Where no expression that is linear in the letters gives every index, as when cells merged into one row go round the
    end of a line or on to the next temporary, the flat address from the first cell on is shown: `name.flat[...]`.
    """
    symbols = [*sizes.items(), ("t", turns)]
    moves = [*window.strides, window.step]
    start = window.offset
    if window.buffer < program.charts:
        name, shape = program.field_names[window.buffer], program.field_shapes[window.buffer]
    else:
        chart = _chart(program, window)
        name, shape = chart.name, chart.layout
        start -= chart.base
    for side, _, stride in window.per_length:
        least, full = program.bound_shift[side], program.default_lengths[side]
        symbols.append(("length" if side == 0 else f"length_{side}", max(full - least, 0) + 1))
        moves.append(stride)
        start += stride * least
    first, steps = _index(start, shape), []
    for (_, size), stride in zip(symbols, moves, strict=True):
        steps.append(_index(start + stride, shape) - first if size > 1 else np.zeros_like(first))
    firsts = [0] * (1 + len(sizes)) + [program.bound_shift[side] for side, _, _ in window.per_length]
    letters = [symbol for symbol, _ in symbols]
    moving = any(stride and size > 1 for (_, size), stride in zip(symbols, moves, strict=True))
    if not shape and not moving:
        return name
    if not shape or not _in_range(first, steps, [size for _, size in symbols], shape):
        flat = [np.array([stride if size > 1 else 0]) for (_, size), stride in zip(symbols, moves, strict=True)]
        return f"{name}.flat[{next(_indices(np.array([start]), letters, flat, firsts))}]"
    return f"{name}[{', '.join(_indices(first, letters, steps, firsts))}]"


def _chart(program: Program, window: Window) -> Chart:
    """The chart of a window, found by the first cell that is read: at the least lengths for which any is."""
    reach = window.offset + sum(stride * program.bound_shift[side] for side, _, stride in window.per_length)
    return next(c for c in reversed(program.chart_list) if c.base <= max(reach, 0) and c.size)


def _index(address: int, shape: tuple[int, ...]) -> np.ndarray:
    """The index of a flat address; that of the last cell where it lies beyond, as of a window that is never read."""
    return np.array(np.unravel_index(min(max(address, 0), max(math.prod(shape) - 1, 0)), shape))


def _in_range(first: np.ndarray, steps: list[np.ndarray], sizes: list[int], shape: tuple[int, ...]) -> bool:
    """Whether an index that is linear in its letters stays in `shape`: then its flat address is the right one."""
    reach = [step * (size - 1) for step, size in zip(steps, sizes, strict=True)]
    low, high = first + sum(np.minimum(r, 0) for r in reach), first + sum(np.maximum(r, 0) for r in reach)
    return bool((low >= 0).all() and (high < np.array(shape)).all())


def _indices(first: np.ndarray, symbols: list[str], steps: list[np.ndarray], firsts: list[int]) -> Iterator[str]:
    """Per dim the expression whose value is `first` where each symbol has its first value."""
    for d, value in enumerate(first):
        parts, constant = [], int(value)
        for symbol, step, least in zip(symbols, steps, firsts, strict=True):
            if step[d]:
                sign = "-" if step[d] < 0 else "+"
                parts.append(f"{sign}{'' if abs(step[d]) == 1 else abs(step[d])}{symbol}")
                constant -= int(step[d]) * least
        text = "".join(parts) + (f"{constant:+d}" if constant or not parts else "")
        yield text.removeprefix("+")
