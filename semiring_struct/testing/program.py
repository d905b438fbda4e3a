"""`check_program`: a recorded program and every executor that runs it, against a machine of one number at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from semiring_struct import inference
from semiring_struct.programs import Program
from semiring_struct.semirings import LogSemiring, MaxSemiring, Semiring
from semiring_struct.testing._compare import close, require
from semiring_struct.testing._parts import Fields, Parts, fields_of
from semiring_struct.testing._scalar import ScalarMachine, Tally, best, log_add
from semiring_struct.testing._truth import safe_logsumexp


@final
@dataclass(frozen=True)
class PlainLog(Semiring):
    """(logsumexp, +, -inf, 0) as a user would write it: only what every semiring must have, so nothing runs fused.

    The gradient of a total, by autograd through every step, is the tensor of part marginals.
    """

    def lift(self, log_weight: Tensor) -> Tensor:
        return log_weight.unsqueeze(0)

    def read(self, total: Tensor) -> Tensor:
        return total.squeeze(0)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def sum(self, x: Tensor, dim: int) -> Tensor:
        return safe_logsumexp(x, dim)


def check_program(structure: Any, log_potentials: Fields) -> None:
    """Check the program that `structure` records for `log_potentials` `(*batch, ...)`, small and of any batch dims.

    A machine in plain Python runs the recorded table cell by cell, for every length: it must write each cell once and
    before it is read, and agree with the executors under the log and max semirings, in value mode (a semiring without
    a reduction) as well as in their fast paths, gradients included. Its counts must equal `program.cost`, recording
    again must give the cached program, and the printed equations must name every field.

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
    check_gradients(structure, parts, phi)


def check_printing(program: Program) -> None:
    """The printed equations name every field."""
    text = str(program)
    for name in program.field_names:
        require(name in text, "print(program)", f"the field {name} does not appear in\n{text}")


def check_values(structure: Any, program: Program, fields: Fields) -> None:
    """Every executor path at every length, against the scalar machine."""
    rows = [field.flatten(1) for field in fields_of(structure.prepare(fields))]
    lengths = list(itertools.product(*(range(n + 1) for n in program.default_lengths)))
    for where in lengths:
        expected = torch.zeros(2, len(rows[0]), dtype=torch.float64)
        for b, (kind, add) in itertools.product(range(len(rows[0])), enumerate((log_add, best))):
            machine = ScalarMachine(program, [row[b].tolist() for row in rows], add)
            expected[kind, b] = machine.run(where)
            if where == program.default_lengths:
                check_cost(program, machine.tally)
        sides = tuple(torch.full((len(rows[0]),), n) for n in where)
        given = None if not sides else sides[0] if len(sides) == 1 else sides
        for name, semiring, kind in (
            ("generic log", PlainLog(), 0),
            ("log", LogSemiring(), 0),
            ("max", MaxSemiring(), 1),
        ):
            found = inference.evaluate(structure, semiring, fields, lengths=given)
            close(f"evaluate under {name} at length {where}", found, expected[kind], 1e-10)
        found = inference.log_partition(structure, fields, lengths=given)
        close(f"log_partition at length {where}", found, expected[0], 1e-10)
        found = inference.max_score(structure, fields, lengths=given)
        close(f"max_score at length {where}", found, expected[1], 1e-12)


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


def check_gradients(structure: Any, parts: Parts, phi: Tensor) -> None:
    """Autograd through the generic path against the fast path's own reverse, first and second order."""
    weights = torch.randn(phi.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for query in (
        lambda x: inference.evaluate(structure, PlainLog(), x),
        lambda x: inference.log_partition(structure, x),
    ):
        leaf = phi.clone().requires_grad_()
        total = query(parts.fields(leaf)).sum()
        (first,) = torch.autograd.grad(total, leaf, create_graph=True)
        (second,) = torch.autograd.grad((first * weights).sum(), leaf, allow_unused=True)
        found.append((first, torch.zeros_like(leaf) if second is None else second))
    for order, generic, fast in zip(("first", "second"), *found, strict=True):
        close(f"{order} derivative of log_partition, fast against generic", fast, generic, 1e-9)
