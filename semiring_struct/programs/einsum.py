"""Semiring einsum as statements: pairwise contractions in the order that opt_einsum finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import opt_einsum

from semiring_struct.errors import ProgramError

if TYPE_CHECKING:
    from semiring_struct.programs.expression import Expression
    from semiring_struct.programs.recorder import Recorder


def contract(p: Recorder, equation: str, operands: Sequence[Expression]) -> Expression:
    """`p.einsum`: the ⊕ over all letters that the output lacks of the ⊗ of the operands.

    Each contraction of the path fills a chart of its own, so the cost is that of the path and not of the whole index
    space. A letter repeated in one operand takes its diagonal. Raises `ProgramError` for an equation that does not fit.
    """
    inputs, output = parse(equation, [len(x.shape) for x in operands])
    sizes: dict[str, int] = {}
    for letters, x in zip(inputs, operands, strict=True):
        for letter, size in zip(letters, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ProgramError(f"einsum {equation!r}: letter {letter!r} has sizes {sizes[letter]} and {size}")
    work = [_diagonals(letters, x) for letters, x in zip(inputs, operands, strict=True)]
    path, _ = opt_einsum.contract_path(equation, *[x.shape for x in operands], shapes=True)
    for step in path:
        chosen = [work.pop(i) for i in sorted(step, reverse=True)]
        kept = set(output).union(*(set(letters) for letters, _ in work))
        letters, value = _multiply(chosen, kept)
        work.append((letters, p.temporary(value) if work else value))
    letters, value = work[0]
    return value.permute(*(letters.index(x) for x in output)) if output else value


def largest_intermediate(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """Entries of the largest table that the path of opt_einsum makes on the way, its result included."""
    return int(opt_einsum.contract_path(equation, *shapes, shapes=True)[1].largest_intermediate)


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """`"ab,bc->ac"` into its inputs and output; the output must be given."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow or len(inputs) != len(ranks) or [len(i) for i in inputs] != list(ranks):
        raise ProgramError(f"einsum {equation!r} does not fit operands of {list(ranks)} dims; write 'ab,bc->ac'")
    known = set("".join(inputs))
    if not set(output) <= known or len(set(output)) != len(output) or not all(x.isalpha() for x in known):
        raise ProgramError(f"einsum {equation!r}: the output names each letter once, out of those of the inputs")
    return inputs, output


def _diagonals(letters: str, x: Expression) -> tuple[str, Expression]:
    for letter in letters:
        while letters.count(letter) > 1:
            a, b = letters.index(letter), letters.rindex(letter)
            x = x.diagonal(0, a, b)
            letters = letters[:a] + letters[a + 1 : b] + letters[b + 1 :] + letter
    return letters, x


def _multiply(chosen: list[tuple[str, Expression]], kept: set[str]) -> tuple[str, Expression]:
    """The product of some operands, with the letters summed that nothing else needs."""
    every = sorted({x for letters, _ in chosen for x in letters})
    value = None
    for letters, x in chosen:
        here = [e for e in every if e in letters]
        aligned = x.permute(*(letters.index(e) for e in here)) if here else x
        aligned = aligned[tuple(slice(None) if e in letters else None for e in every)]
        value = aligned if value is None else value * aligned
    if value is None:
        raise ProgramError("einsum needs an operand")
    dims = tuple(d for d, e in enumerate(every) if e not in kept)
    return "".join(e for e in every if e in kept), value.sum(dims) if dims else value
