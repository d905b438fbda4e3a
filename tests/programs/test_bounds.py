"""No program that is accepted reads or writes outside a buffer: wrong programs by the thousand, and each by name."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch

import semiring_struct as ss
from semiring_struct.executors import Cpu
from semiring_struct.programs import Program
from semiring_struct.testing._scalar import ScalarMachine, indices, log_add, place
from tests.structures.families import FAMILIES, SIDED, Family

LOG = ss.LogSemiring().reduction


class Chain(ss.DynamicProgram):
    """The usual slip: the cell past the last, in the place of the last."""

    event_dim = 2

    def inside(self, p, emission):
        n, c = emission.shape
        alpha = p.chart(n, c)
        alpha[0] = emission[0]
        for t in range(1, n):
            alpha[t] = alpha[t - 1].sum(0) * emission[t]
        return alpha[p.length].sum(0)


def structure_of(inside: Any, dims: Any, sides: tuple[str, ...] = ("n",), shapes: Any = None) -> ss.DynamicProgram:
    """A structure with this `inside`."""
    return type("Mine", (ss.DynamicProgram,), {"event_dim": dims, "sides": sides, "shapes": shapes or {},
                                               "inside": inside})()  # fmt: skip


def test_an_answer_past_the_last_cell_is_refused_by_name():
    message = r"alpha, of shape \(5, 3\) here, is indexed by p\.length in dim 0, whose size is 5.*p\.length - 1"
    for query in (ss.count, ss.log_partition, ss.testing.check_structure, ss.testing.check_program):
        with pytest.raises(ss.ProgramError, match=message):
            query(Chain(), torch.zeros(2, 5, 3))


@pytest.mark.parametrize(
    "inside",
    [
        lambda self, p, x: x[p.length],
        lambda self, p, x: x[1:][p.length - 1],
        lambda self, p, x: x[::2][p.length - 1],
        lambda self, p, x: (x[:, None] * x)[p.length - 1, p.length],
        lambda self, p, x: x.flip(0)[p.length + 1],
        lambda self, p, x: x[:0][p.length],
    ],
    ids=["whole", "cut", "thinned", "outer", "flipped", "nothing"],
)
def test_a_field_indexed_too_far_is_refused(inside: Any):
    with pytest.raises(ss.ProgramError, match=r"p\.length.*would read at"):
        ss.log_partition(structure_of(inside, 1), torch.zeros(2, 4))


def test_a_length_of_another_side_is_refused():
    """Each length is bounded by its own side; a dim of another side's size may be shorter."""
    shapes = {"cell": "n m"}

    def inside(self, p, cell):
        n, m = p.lengths
        return cell[m - 1, n - 1]

    assert len(tuple(structure_of(inside, 2, ("n", "m"), shapes).sides)) == 2
    with pytest.raises(ss.ProgramError, match=r"p\.lengths\[1\] - 1 in dim 0, whose size is 3"):
        ss.log_partition(structure_of(inside, 2, ("n", "m"), shapes), torch.zeros(3, 4))


def test_lengths_unpack():
    def inside(self, p, cell):
        n, m = p.lengths
        return cell[n - 1, m - 1]

    grid = structure_of(inside, 2, ("n", "m"), {"cell": "n m"})
    phi = torch.arange(12.0).view(3, 4)
    assert ss.log_partition(grid, phi) == 11
    assert ss.log_partition(grid, phi, lengths=(torch.tensor(2), torch.tensor(3))) == 6


def test_a_length_that_is_too_short_for_any_index_reads_nothing():
    def inside(self, p, x):
        return x[p.length - 2]

    three = structure_of(inside, 1)
    phi = torch.tensor([1.0, 2.0, 3.0])
    answers = [ss.log_partition(three, phi, lengths=n).item() for n in range(4)]
    assert answers == [0, 0, 1, 2]  # shorter ones are the empty structure
    assert ss.log_partition(three, torch.ones(1)) == 0


def test_an_answer_that_no_instance_is_long_enough_for_reads_nothing():
    pairs = structure_of(lambda self, p, x, y: y[p.length - 2] * x[p.length - 1], (1, 1), shapes={"x": "n", "y": "n-1"})
    for query in (ss.log_partition, ss.max_score, ss.entropy):
        assert query(pairs, (torch.ones(1), torch.ones(0))) == 0
    assert not ss.marginals(pairs, (torch.ones(1), torch.ones(0)))[0].any()
    assert ss.log_partition(pairs, (torch.ones(2), torch.ones(1))) == 2


def buffers_hold(program: Program, lengths: tuple[int, ...]) -> None:
    """Every address of every window, from its definition, lies in its buffer."""
    sizes = [torch.Size(s).numel() for s in program.field_shapes] + [program.cells]
    read = [(program.answer, 0, lengths)] if all(map(int.__ge__, lengths, program.bound_shift)) else []
    turns = ((row, t, ()) for b in program.blocks for row in b.rows for t in range(b.count))
    for row, t, at in itertools.chain(turns, read):
        for index in indices(row.out):
            if row is not program.answer:
                assert 0 <= place(row.target, index, t, at) < program.cells
            for term in row.terms:
                for inner, w in itertools.product(indices(term.summed), term.factors):
                    assert 0 <= place(w, index + inner, t, at) < sizes[w.buffer]


def all_lengths(program: Program) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(n + 1) for n in program.default_lengths)))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_shipped_programs_stay_in_their_buffers(family: Family):
    if not isinstance(family.structure, ss.DynamicProgram) or family.structure.prepares:
        pytest.skip("the program is not of the potentials themselves")
    program = ss.program(family.structure, family.draw((), seed=0))
    for lengths in all_lengths(program) if family in SIDED else [program.default_lengths]:
        buffers_hold(program, lengths)


class Wrong(ss.DynamicProgram):
    """A program of random indices: few of them are right."""

    event_dim = (1, 2)
    shapes = {"line": "n", "table": "n m"}
    sides = ("n", "m")

    def __init__(self, seed: int):
        self.seed = seed

    def inside(self, p, line, table):
        draw = random.Random(self.seed)
        n, m = table.shape
        chart = p.chart(n + draw.randint(0, 1), m + draw.randint(0, 1))
        cells = (line, table, chart)

        def index(size: int) -> int:
            return draw.randint(-1, size) if draw.random() < 0.03 else draw.randrange(size)

        def some(view: Any) -> Any:
            return view[tuple(index(s) for s in view.shape)]

        def line_of(view: Any) -> Any:
            if view.ndim == 1:
                return view[draw.randint(0, 1) :] if draw.random() < 0.5 else view.flip(0)
            cut = draw.choice(("row", "column", "diagonal", "antidiagonal", "transposed"))
            if cut == "antidiagonal":
                total = draw.randint(0, view.shape[0] + view.shape[1] - 2)
                start = max(0, total - view.shape[1] + 1)
                return view.antidiagonal(total, start, min(total, view.shape[0] - 1) + draw.randint(0, 1))
            if cut == "diagonal":
                return view.diagonal(draw.randint(-1, 1))
            return {"row": view, "column": view.T, "transposed": view.T.flip(1)}[cut][0]

        # left to right, mostly: a few write what was written, or read what is written later
        order = list(itertools.product(range(chart.shape[0]), range(chart.shape[1])))
        if draw.random() < 0.2:
            draw.shuffle(order)
        for i, j in order[: draw.randint(1, len(order))]:
            before = chart[i, j - 1] if j else (chart[i - 1, -1] if i else p.one)
            source = some(draw.choice((line, table)))
            other = line_of(draw.choice((line, table))).sum() if draw.random() < 0.3 else source
            chart[i, j] = before * source + other
        if draw.random() < 0.05:
            chart[index(chart.shape[0]), index(chart.shape[1])] = p.one
        lengths, view = list(p.lengths), draw.choice(cells)
        keys = [draw.choice(lengths) + draw.randint(-2, 1) if draw.random() < 0.7 else index(s) for s in view.shape]
        return view[tuple(keys)]


def verdict(seed: int, sizes: tuple[int, int], machines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the program of a seed is accepted; if so, its windows stay in their buffers and all machines agree."""
    n, m = sizes
    generator = torch.Generator().manual_seed(seed)
    phi = tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n,), (n, m)))
    structure = Wrong(seed)
    try:
        program = ss.program(structure, phi)
    except ss.ProgramError:
        return False
    lengths = all_lengths(program)
    slow = [ScalarMachine(program, [f.flatten().tolist() for f in phi], log_add).run(each) for each in lengths]
    for each in lengths:
        buffers_hold(program, each)
    sides = tuple(torch.tensor(side) for side in zip(*lengths, strict=True))
    batch = tuple(f.expand(len(lengths), *f.shape) for f in phi)
    for machine in machines:
        monkeypatch.setenv("SEMIRING_STRUCT_EXECUTOR", machine)
        fast = ss.log_partition(structure, batch, lengths=sides)
        torch.testing.assert_close(fast, torch.tensor(slow, dtype=torch.float64))
    return True


def machines() -> tuple[str, ...]:
    program = ss.program(ss.OneOf(), torch.zeros(2))
    return ("eager",) if Cpu().refuse(program, LOG, torch.device("cpu")) else ("eager", "cpu")


def test_wrong_programs_are_refused_or_run_inside_their_buffers(monkeypatch: pytest.MonkeyPatch):
    drawn = random.Random(0)
    sizes = [(drawn.randint(1, 4), drawn.randint(1, 4)) for _ in range(150)]
    accepted = [verdict(seed, each, machines(), monkeypatch) for seed, each in enumerate(sizes)]
    assert 15 < sum(accepted) < 135


@pytest.mark.exhaustive
def test_wrong_programs_by_the_thousand(monkeypatch: pytest.MonkeyPatch):
    drawn = random.Random(1)
    for seed in range(150, 5000):
        verdict(seed, (drawn.randint(1, 5), drawn.randint(1, 5)), machines(), monkeypatch)


def test_a_program_of_several_answers_is_refused():
    with pytest.raises(ss.ProgramError, match=r"shape \(3,\); the answer is one total"):
        ss.log_partition(structure_of(lambda self, p, x: x, 1), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("inside", "named"),
    [
        (lambda self, p, x: x[0] - x[1], "neither subtract nor divide"),
        (lambda self, p, x: x[0] / x[1], "neither subtract nor divide"),
        (lambda self, p, x: (-x).sum(), "neither subtract nor divide"),
        (lambda self, p, x: 1 - x[0], "neither subtract nor divide"),
        (lambda self, p, x: x[0] if x[0] else x[1], "no value while a program is recorded"),
        (lambda self, p, x: x[0] if x[0] > x[1] else x[1], "no value while a program is recorded"),
        (lambda self, p, x: 2.0 * x[0], "`prepare`"),
        (lambda self, p, x: x[: p.length].sum(), "cannot bound a slice"),
        (lambda self, p, x: x[0] if x[0] == x[1] else x[1], "no value while a program is recorded"),
        (lambda self, p, x: np.float64(2.0) * x[0], "`prepare`"),
        (lambda self, p, x: torch.ones(3) * x, "`prepare`"),
        (lambda self, p, x: sum([x[0], x[1]]), r"sum\(views, p\.zero\)"),
        (lambda self, p, x: x @ x, "p.einsum"),
        (lambda self, p, x: None, "`inside` returned nothing"),
        (lambda self, p, x: sum((x[i] for i in range(p.length)), p.zero), "not known while a program is recorded"),
        (lambda self, p, x: x[0] if p.length == 1 else x[1], "not known while a program is recorded"),
        (lambda self, p, x: x[0] if p.length > 1 else x[1], "not known while a program is recorded"),
        (lambda self, p, x: x[0] if p.length else x[1], "not known while a program is recorded"),
        (lambda self, p, x: x[x.shape[0] - p.length], "not known while a program is recorded"),
        (lambda self, p, x: x[2 * p.length], "not known while a program is recorded"),
        (lambda self, p, x: x[p.length - 0.5], "moves by whole numbers"),
        (lambda self, p, x: x[p.length - p.length], "moves by whole numbers"),
        (lambda self, p, x: x[p.lengths[1]], r"has 1 length\(s\); `sides` names their letters"),
    ],
    ids=["minus", "over", "negated", "one minus", "if", "if larger", "number", "slice", "if equal", "numpy", "tensor",
         "sum", "matmul", "nothing", "range", "length is", "length above", "length", "from the end", "twice", "half",
         "difference", "second"],
)
def test_what_the_language_lacks_is_said(inside: Any, named: str):
    with pytest.raises(ss.ProgramError, match=named):
        ss.log_partition(structure_of(inside, 1), torch.zeros(2, 3))


def test_lengths_move_either_way():
    cut = structure_of(lambda self, p, x: x[-1 + p.length], 1)
    assert ss.log_partition(cut, torch.arange(4.0), lengths=2) == 1


def test_a_constant_size_is_named():
    mine = structure_of(lambda self, p, x: x.sum(), 1, shapes={"item": "5"})
    with pytest.raises(ss.ProgramError, match=r"Mine: `shapes` of item: .*got '5'; a size that is always the same"):
        ss.count(mine, torch.zeros(5))


@pytest.mark.parametrize(
    ("shapes", "dims", "named"),
    [
        ({"item": "n n"}, 1, r"item 2; `event_dim` says 1\. Make `event_dim` 2"),
        ({"item": "n"}, (1, 1), r"declares 1 fields.*`event_dim` says \(1, 1\)"),
        ({"one": "n", "other": "n n"}, (1, 1), r"one 1, other 2; .* Make `event_dim` \(1, 2\)"),
    ],
    ids=["rank", "one field", "second field"],
)
def test_shapes_at_odds_with_event_dim_are_named(shapes: Any, dims: Any, named: str):
    mine = structure_of(lambda self, p, x, *y: x.sum(), dims, shapes=shapes)
    phi = torch.zeros(2, 5) if dims == 1 else (torch.zeros(2, 5), torch.zeros(2, 5))
    with pytest.raises(ss.ProgramError, match=named):
        ss.count(mine, phi)
