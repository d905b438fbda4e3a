"""A program as equations, loops rolled: what `print(ss.program(structure, phi))` shows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from semiring_struct.programs.program import Program
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
            lines.append(pad + _equation(program, row, _cell(program, row.target, _letters(row.out), "t")))
    lines.append("  answer = " + _equation(program, program.answer, "").removeprefix(" = "))
    c = program.cost
    lines.append(f"  cost: {c.products} products, {c.alternatives} alternatives, {c.bytes} bytes per instance")
    return "\n".join(lines)


def _shape(sizes: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")"


def _letters(sizes: tuple[int, ...], skip: int = 0) -> list[str]:
    return list(LETTERS[skip : skip + len(sizes)])


def _equation(program: Program, row: Row, left: str) -> str:
    out = _letters(row.out)
    ranges = [f"{x} < {n}" for x, n in zip(out, row.out, strict=True)]
    terms = []
    for term in row.terms:
        summed = _letters(term.summed, len(out))
        ranges += [r for x, n in zip(summed, term.summed, strict=True) if (r := f"{x} < {n}") not in ranges]
        factors = " ⊗ ".join(_cell(program, f, out + summed, "t") for f in term.factors) or "one"
        terms.append((f"⊕_{''.join(summed)} " if summed else "") + factors)
    tail = f"   ({', '.join(ranges)})" if ranges else ""
    return f"{left} = {' ⊕ '.join(terms) or 'zero'}{tail}"


def _cell(program: Program, window: Window, letters: list[str], step: str) -> str:
    """The name and the index expressions of a window, found by unravelling its first cells."""
    if window.buffer < program.charts:
        name, base, shape = program.field_names[window.buffer], 0, program.field_shapes[window.buffer]
    else:
        reach = window.offset + sum(stride for _, _, stride in window.per_length)
        chart = next(c for c in reversed(program.chart_list) if c.base <= max(reach, 0) and c.size)
        name, base, shape = chart.name, chart.base, chart.layout
    if not shape:
        return name
    symbols = [*letters, step, *("length" if s == 0 else f"length_{s}" for s, _, _ in window.per_length)]
    strides = [*window.strides, window.step, *(stride for _, _, stride in window.per_length)]
    shifted = window.offset - base - sum(shift * stride for _, shift, stride in window.per_length)
    start = np.array(np.unravel_index(shifted % math.prod(shape), shape))
    shifts = sum((s * np.array(_direction(t, start, shape)) for _, s, t in window.per_length), np.zeros_like(start))
    moves = [_direction(stride, start, shape) for stride in strides]
    return f"{name}[{', '.join(_indices(start + shifts, symbols, moves))}]"


def _direction(stride: int, start: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index step that adds `stride` to a flat address: the one with the smallest entries that is in range."""
    if stride == 0:
        return (0,) * len(shape)
    sizes = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
    move, rest = [], stride
    for size in sizes:
        step = round(rest / size) if size > 1 else rest
        move.append(step)
        rest -= step * size
    return tuple(move)


def _indices(start: np.ndarray, symbols: list[str], moves: list[tuple[int, ...]]) -> Iterator[str]:
    for d, first in enumerate(start):
        parts = []
        for symbol, move in zip(symbols, moves, strict=True):
            if move[d]:
                sign = "-" if move[d] < 0 else "+"
                parts.append(f"{sign}{'' if abs(move[d]) == 1 else abs(move[d])}{symbol}")
        text = "".join(parts) + (f"{int(first):+d}" if first or not parts else "")
        yield text.removeprefix("+")
