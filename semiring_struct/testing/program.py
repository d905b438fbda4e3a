"""`check_program`: a recorded program and every executor that runs it, against a machine of one number at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.inference.door import open_door
from semiring_struct.programs import Program
from semiring_struct.semirings import LogSemiring, MaxSemiring
from semiring_struct.structures.shapes import sizes as declared_sizes
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._fast import Plain, check_fast_paths
from semiring_struct.testing._parts import Fields, Parts, fields_of
from semiring_struct.testing._scalar import ScalarMachine, Tally, best, log_add


def check_program(structure: Any, log_potentials: Fields) -> None:
    """Check the program that `structure` records for `log_potentials` `(*batch, ...)`, small and of any batch dims.

    A machine in plain Python runs the recorded table cell by cell, for every length: it must write each cell once and
    before it is read, and agree with the executors under the log and max semirings. The fast paths must agree with
    value mode (a semiring without a reduction): log, max and the smoothed maxima to second order, the dual channel, the
    k best, and draws, whose law is tested. The counts must equal `program.cost`, recording again must give the cached
    program, and the printed equations must name every field. Where `shapes` says which dims grow with a length, padding
    must make no difference and the last place must count: an answer that is read at the wrong length shows there.

    Raises:
        AssertionError: naming what differs.

    Cost: a Python loop over all alternatives of the program, per instance and length.
    """
    if hasattr(structure, "resolve"):
        structure = structure.resolve(fields_of(log_potentials))
    program = inference.program(structure, log_potentials)
    require(inference.program(structure, log_potentials) is program, "program", "was not cached")
    check_printing(program)
    parts = Parts.of(structure, log_potentials)
    phi = parts.flat(log_potentials).detach().double()
    fields = parts.with_batch((parts.instances,)).fields(phi)
    check_values(structure, program, fields)
    check_padding(structure, parts, phi)
    check_fast_paths(structure, parts.with_batch((parts.instances,)), phi)


def check_printing(program: Program) -> None:
    """The printed equations name every field."""
    text = str(program)
    for name in program.field_names:
        require(name in text, "print(program)", f"the field {name} does not appear in\n{text}")


def check_values(structure: Any, program: Program, fields: Fields) -> None:
    """Every executor path at every length, against the scalar machine."""
    rows = [field.flatten(1) for field in open_door(structure, fields).flat]
    lengths = list(itertools.product(*(range(n + 1) for n in program.default_lengths)))
    for where in lengths:
        expected = torch.zeros(2, len(rows[0]), dtype=torch.float64, device="cpu")
        for b, (kind, add) in itertools.product(range(len(rows[0])), enumerate((log_add, best))):
            machine = ScalarMachine(program, [row[b].tolist() for row in rows], add)
            expected[kind, b] = machine.run(where)
            if where == program.default_lengths:
                check_cost(program, machine.tally)
        sides = tuple(torch.full((len(rows[0]),), n, device="cpu") for n in where)
        given = _lengths(sides)
        for name, semiring, kind in (
            ("generic log", Plain(LogSemiring()), 0),
            ("log", LogSemiring(), 0),
            ("generic max", Plain(MaxSemiring()), 1),
            ("max", MaxSemiring(), 1),
        ):
            found = inference.evaluate(structure, semiring, fields, lengths=given)
            close(f"evaluate under {name} at length {where}", found, expected[kind], 1e-10)
        found = inference.log_partition(structure, fields, lengths=given)
        close(f"log_partition at length {where}", found, expected[0], 1e-10)
        found = inference.max_score(structure, fields, lengths=given)
        close(f"max_score at length {where}", found, expected[1], 1e-12)


def check_padding(structure: Any, parts: Parts, phi: Tensor) -> None:
    """At every length, the whole potentials against those without what stands past it; and the last place counts."""
    if structure.declaration is None or structure.prepares:
        return
    fields = fields_of(parts.with_batch((parts.instances,)).fields(phi))
    full = structure.letters([tuple(shape) for shape in parts.shapes])
    whole, counting = declared_sizes(structure.declaration, full), {letter: set[bool]() for letter in structure.sides}
    for where in itertools.product(*(range(1, full[letter] + 1) for letter in structure.sides)):
        lengths = dict(zip(structure.sides, where, strict=True))
        wanted = declared_sizes(structure.declaration, full | lengths)
        cut = []
        for field, sizes, kept in zip(fields, whole, wanted, strict=True):
            dims = zip(field.shape[1:], sizes, kept, strict=True)
            cut.append(field[(slice(None), *(slice(want if have == size else have) for have, size, want in dims))])
        alone = parts.rebuild(cut)
        given = _lengths(tuple(torch.full((parts.instances,), n, device=fields[0].device) for n in where))
        found = inference.log_partition(structure, parts.rebuild(fields), lengths=given)
        name = f"log_partition at length {where} beside that of the instance without padding"
        close(name, found, inference.log_partition(structure, alone), 1e-10)
        means = fields_of(inference.marginals(structure, alone))
        for letter in structure.sides if any(bool(mean.any()) for mean in means) else ():
            counting[letter].add(last_counts(structure, letter, means, wanted))
    for letter, found in counting.items():
        require(
            True in found or not found, "program",
            f"no part at the last place of {letter!r} is used at any length: the answer is read too early",
        )  # fmt: skip


def last_counts(
    structure: Any, letter: str, means: Sequence[Tensor], sizes: Sequence[tuple[int, ...]]
) -> bool:
    """Whether some structure uses a part at the last place of a dim that grows with `letter`; True where tied."""
    grown = [
        (mean.movedim(1 + d, 0), mean.shape[1 + d] == size)
        for mean, declared, shape in zip(means, structure.declaration, sizes, strict=True)
        for d, ((grows, _), size) in enumerate(zip(declared[1], shape, strict=True))
        if grows == letter
    ]
    return any(not whole or (len(mean) > 0 and bool(mean[-1].any())) for mean, whole in grown)


def _lengths(sides: tuple[Tensor, ...]) -> Any:
    return None if not sides else sides[0] if len(sides) == 1 else sides


def check_cost(program: Program, tally: Tally) -> None:
    """What a run did against `program.cost`; the answer counts as cells too."""
    cost = program.cost
    counts = {
        "alternatives": (cost.alternatives, tally.alternatives),
        "products": (cost.products, tally.products),
        "cells": (cost.cells, len(tally.written) + math.prod(program.answer.out)),
    }
    for name, (said, done) in counts.items():
        require(said == done, "program.cost", f"says {said} {name}; a run has {done}")
