"""Walks of the CPU machine: what compiled code reads and writes is laid out here, and shared out among threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu import columns as at
from semiring_struct.executors.cpu.best import walk_best
from semiring_struct.executors.cpu.cells import Charted, cells_of
from semiring_struct.executors.cpu.edges import edges_of, write_lines
from semiring_struct.executors.cpu.encode import encode
from semiring_struct.executors.cpu.hops import FEW, Crowd, Ways, hop_draws
from semiring_struct.executors.cpu.native import WIDE
from semiring_struct.executors.cpu.paths import Record, Source, Work, find_roots, walk_draws
from semiring_struct.executors.cpu.ranks import HEADER, LOSSES, STATE, Ranking, room, walk_k_best
from semiring_struct.executors.cpu.state import State, address
from semiring_struct.executors.cpu.steps import ENTRIES, EVENTS, LABELS
from semiring_struct.executors.cpu.threads import share_out
from semiring_struct.executors.cpu.visits import Charts, Fill, Visit
from semiring_struct.executors.machine import Code, Job, Paths, refuse_nan
from semiring_struct.ops import empty, zeros

GROUP = 64  # paths that take their steps side by side: the processor works on several of them at once
CROWD = 1024  # the same where they are at one place each: more of them find in the cache what others have read
SIDE_BY_SIDE = 8  # the same of best paths, each of an instance of its own
CELL, PICK = 8, 4  # bytes of a cell, and of which alternative is its largest
TABLE_BYTES = 1 << 28  # no thread keeps more choices than this
SPEEDUP = 3  # cells weighed side by side in the time that one takes by itself
LINE = 16  # paths whose lines share a line of the cache: rows of a trail are that much apart, or meet in its places
SMALL = 1 << 10  # steps that one thread does in less time than it takes to wake another


def able(job: Job) -> bool:
    """Whether the program's addresses fit the table."""
    return cells_of(job.program) is not None


def best(job: Job, fill: Fill) -> Paths:
    """One best derivation per instance; the first alternative on ties."""
    run = _Run(job)
    used = run.entries(run.batch)
    fill(run.best, run.table.noted)
    return run.paths(used)


def best_events(job: Job, fill: Fill) -> tuple[Tensor, list[Tensor]]:
    """The same as `feasible (batch,)` and how often entries are used, per field `(batch, size)`."""
    run = _Run(job)
    events = run.events(run.batch)
    fill(run.best, run.table.noted)
    return run.feasible, events


def best_labels(job: Job, fill: Fill, code: Code) -> tuple[Tensor, Tensor]:
    """The same as `feasible (batch,)` and labels `(batch, width)`."""
    run = _Run(job)
    labels = run.labels(run.batch, code)
    fill(run.best, run.table.noted)
    return run.feasible, labels


def draws(job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
    """Exact draws, those of the eager machine up to the rounding of the choices."""
    run = _Run(job)
    used = run.entries(run.batch * samples)
    run.draws(seed, samples, lambda: charts)
    return run.paths(used)


def drawn_labels(
    job: Job, charts: Callable[[], Tensor], seed: Tensor, samples: int, code: Code
) -> tuple[Tensor, Tensor]:
    """The same as `feasible (paths,)` and labels `(paths, width)`; charts are asked for where they are needed."""
    run = _Run(job)
    labels = run.labels(run.batch * samples, code)
    run.draws(seed, samples, charts)
    return run.feasible, labels


def k_best(job: Job, charts: Tensor, k: int) -> Paths:
    """The k best derivations per instance; of tied ones those of the first alternatives come first."""
    run = _Run(job)
    used = run.entries(run.batch * k)
    scores = run.k_best(k, charts)
    return replace(run.paths(used), key=scores)


def k_best_labels(job: Job, charts: Tensor, k: int, code: Code) -> tuple[Tensor, Tensor]:
    """The same as scores `(paths,)` and labels `(paths, width)`."""
    run = _Run(job)
    labels = run.labels(run.batch * k, code)
    return run.k_best(k, charts), labels


@dataclass
class _Run:
    """One walk; `held` keeps alive what addresses point to, `says` is how many pairs of labels a slot writes."""

    job: Job

    def __post_init__(self) -> None:
        table = cells_of(self.job.program)
        if table is None:
            raise RuntimeError("a program whose addresses outgrow 32 bits walks with the eager machine")
        self.table: Charted = table
        self.says: dict[int, int] = {}
        self.batch, self.kind = len(self.job.lengths), self.job.fields[0].dtype
        self.like = np.float32(0) if self.kind == torch.float32 else np.float64(0)
        root, short = self._roots()
        where = np.array([[f.data_ptr(), f.stride(0) * f.element_size()] for f in self.job.fields]).T.copy()
        self.held: list[object] = [root, short, where]
        places = address(where), address(where[1])
        self.source = Source(root.data_ptr(), short.data_ptr(), 0, 0, table.cells.cells, 1, *places, self.batch)

    def _read(self, charts: Tensor) -> None:
        """Walk over these charts `(batch, cells)`."""
        stored = charts.contiguous()
        self.held.append(stored)
        self.source = self.source._replace(charts=stored.data_ptr())

    def _roots(self) -> tuple[Tensor, Tensor]:
        lengths, (sides, width) = self.job.lengths.to(torch.int64).contiguous(), self.table.root.shape
        root = torch.empty((self.batch, width), dtype=torch.int32, device="cpu")
        short = torch.empty(self.batch, dtype=torch.bool, device="cpu")
        given = self.table.root.data_ptr(), self.table.least.data_ptr(), lengths.data_ptr(), sides - 1, width
        find_roots(*given, root.data_ptr(), short.data_ptr(), self.batch)
        return root, short

    def _record(
        self, paths: int, how: int, labels: Tensor | None, used: Sequence[Tensor], codes: Sequence, slots: Sequence[int]
    ) -> None:  # fmt: skip
        """`used` are tensors of field slots."""
        self.feasible = torch.empty(paths, dtype=torch.bool, device="cpu")
        none = [0] * self.table.cells.chart_slots
        where = [[*none, *(u.data_ptr() for u in used)], [*none, *(u.shape[1] for u in used)]]
        held = [np.array(x, dtype=np.int64) for x in (*where, codes)] + [np.array(slots, dtype=np.int32)]
        self.held += [labels, *held]
        first = self.feasible.data_ptr(), 0 if labels is None else labels.data_ptr()
        width = 0 if labels is None else labels.shape[1]
        self.record = Record._make((*first, *(address(x) for x in held), len(slots), width, how))

    def entries(self, paths: int) -> list[Tensor]:
        """Write down the entries used: per slot of a field `(paths, longest)`, -1 for none."""
        steps = paths, self.table.cells.longest
        used = [torch.empty(steps, dtype=torch.int64, device="cpu") for _ in self.table.field_slots]
        self._record(paths, ENTRIES, None, used, [], range(len(self.table.buffers)))
        return used

    def events(self, paths: int) -> list[Tensor]:
        """Count the entries used: per field `(paths, size)`."""
        events = [zeros((paths, f.shape[1]), f.dtype, f.device) for f in self.job.fields]
        used = [events[f] for f in self.table.field_slots]
        self._record(paths, EVENTS, None, used, [], range(len(self.table.buffers)))
        return events

    def labels(self, paths: int, code: Code) -> Tensor:
        """Write down labels `(paths, width)`."""
        out, cells = empty((paths, code.width), torch.int64), self.table.cells
        codes = [[0, 0, 0]] * len(code.fields)
        for f, pair in enumerate(code.fields):
            if pair is not None:
                n, q = pair[0].shape
                slots, values = pair[0].numpy(), pair[1].numpy()
                written = np.empty((n + 1, q, 2), dtype=np.int32)
                written[:n, :, 0], written[n, :, 0] = np.where(slots < 0, code.width, slots), code.width
                written[:n, :, 1], written[n, :, 1] = values + 1, 0
                self.held.append(written)
                codes[f] = [address(written), q, n]
        slots = [q for q, f in enumerate(self.table.buffers) if q < cells.chart_slots or code.fields[f] is not None]
        self._record(paths, LABELS, out, [], codes, slots)
        self.says = {q: codes[self.table.buffers[q]][1] for q in slots if q >= cells.chart_slots}
        return out

    def _work(self, group: int, keep: bool) -> tuple[Work, list[Tensor]]:
        most, cells = max(self.table.most, 1), self.table.cells
        own = [
            torch.empty(most, dtype=torch.float64, device="cpu"),
            torch.empty(most, dtype=self.kind, device="cpu"),
            torch.empty((cells.longest + 1, group), dtype=torch.int32, device="cpu"),
            torch.zeros(group, dtype=torch.int64, device="cpu"),
            torch.empty((group, self.record.width + 1), dtype=torch.int32, device="cpu"),
            torch.empty((self.table.width if keep else most) + WIDE, dtype=_mark(self.kind), device="cpu"),
            torch.zeros(cells.cells + 1, dtype=torch.uint8, device="cpu"),
        ]
        return Work._make((*(t.data_ptr() for t in own), group, int(keep))), own

    def best(self) -> Visit:
        """Walks of one thread to the best derivations."""
        work, own = self._work(SIDE_BY_SIDE, False)

        def visit(charts: Charts, start: int, end: int) -> None:
            first = charts.address - start * charts.pitch * CELL
            picks = charts.picks and charts.picks - start * charts.pitch * PICK
            source = self.source._replace(charts=first, picks=picks, pitch=charts.pitch, apart=charts.apart)
            walk_best(self.table.cells, source, self.record, work, self.like, start, end)

        self.held.append(own)
        return visit

    def _ranking(self, k: int, scores: Tensor) -> tuple[Ranking, list[Tensor]]:
        cells, most = self.table.cells, max(self.table.most, 1)
        reads, derivations = cells.chart_slots, room(cells, most, k)
        shapes = [
            (cells.cells + 1, STATE), (derivations, HEADER + reads), (derivations, LOSSES), (cells.longest + 1, 2),
            (cells.longest + 1,), (reads,), (most,), (1,),
        ]  # fmt: skip
        own = [empty(shape, torch.float64 if i == 2 else torch.int32) for i, shape in enumerate(shapes)]
        own[-1].zero_()
        return Ranking._make((*(t.data_ptr() for t in (*own, scores)), reads)), own

    def k_best(self, k: int, charts: Tensor) -> Tensor:
        """The k best derivations of every instance; their scores `(k * batch,)`, `-inf` where there are fewer."""
        self._read(charts)
        scores = torch.empty(k * self.batch, dtype=torch.float64, device="cpu")

        def piece(start: int, end: int) -> None:
            (work, _own), (ranking, _ranked) = self._work(1, False), self._ranking(k, scores)
            walk_k_best(self.table.cells, self.source, self.record, work, ranking, self.like, k, start, end)

        share_out(piece, self.batch, k * self.batch * self.table.cells.longest < SMALL)
        return scores

    def draws(self, seed: Tensor, samples: int, charts: Callable[[], Tensor]) -> None:
        """`samples` draws of every instance, the samples of one shared out where instances are few."""
        pieces, cells = -(-torch.get_num_threads() // max(self.batch, 1)), self.table.cells
        keep = samples > 1 and 0 < self.table.width * self.like.itemsize <= TABLE_BYTES
        hops = keep and bool(self.says) and cells.chart_slots < 2
        hops &= cells.cells <= samples // pieces * cells.longest * SPEEDUP
        rest = self.like, int(seed.numpy()[0]), samples, pieces
        if not hops:
            self._read(charts())
        refused: list[int] = []
        piece = self._hopping(rest, refused) if hops else self._walking(rest, keep)
        share_out(piece, self.batch * pieces, self.batch * samples * cells.longest < SMALL)
        if any(refused):
            refuse_nan(self.job.program, self.job.fields)

    def _walking(self, rest: tuple, keep: bool) -> Callable[[int, int], None]:
        group = max(1, min(GROUP, rest[2]))

        def piece(start: int, end: int) -> None:
            work, _own = self._work(group, keep)
            walk_draws(self.table.cells, self.source, self.record, work, *rest, start, end)

        return piece

    def _hopping(self, rest: tuple, refused: list[int]) -> Callable[[int, int], None]:
        """Draws that read one cell at a time, the choices of all cells weighed as charts are filled."""
        edges, cells, slots = edges_of(self.job.program), self.table.cells, list(self.says)
        pairs, by_choice = edges.pairs(slots, list(self.says.values())), bool(edges.moves[slots].any())
        lines = torch.empty((pairs, self.table.width if by_choice else cells.cells, 2), dtype=torch.int32, device="cpu")
        ways = Ways(edges.following.data_ptr(), lines.data_ptr(), lines.shape[1], pairs, int(by_choice))
        write_lines(cells, self.record, *ways[1:])
        self.held += [lines, edges]

        def piece(start: int, end: int) -> None:
            code = encode(self.job.program)  # kept here: of two threads that encode at once, one is not cached
            with State(code, self.kind, 0) as state:
                crowd, _own = self._crowd(code, state, max(1, min(CROWD, rest[2])), pairs)
                hop_draws(cells, ways, self.source, self.record, crowd, *rest, start, end)
                refused.append(int(state.words[at.REFUSED]))

        return piece

    def _crowd(self, code: np.ndarray, state: State, group: int, pairs: int) -> tuple[Crowd, list[Tensor]]:
        """What a thread works with, and the buffers that it points to."""
        pitch, mark = group + LINE, _mark(self.kind)
        charts = torch.empty(self.table.cells.cells, dtype=torch.float64, device="cpu")  # of one instance
        state.words[at.CHARTS_ALL] = charts.data_ptr()
        state.batched(at.LENGTHS_ALL, self.job.lengths.to(torch.int64).contiguous())
        state.bank(at.FIELDS_ALL, at.FIELDS_NOW, self.job.fields)
        own = [
            torch.empty(self.table.width + WIDE, dtype=mark, device="cpu"),
            torch.empty((self.table.choices, pairs, 2), dtype=torch.int32, device="cpu"),
            torch.empty(group, dtype=torch.int32, device="cpu"),
            torch.empty(group, dtype=torch.int32, device="cpu"),
            torch.empty(group, dtype=mark, device="cpu"),
            torch.empty((self.table.cells.longest, pitch), dtype=torch.int32, device="cpu"),
            torch.empty(pitch, dtype=torch.int32, device="cpu"),
            torch.empty((FEW, self.record.width + 1), dtype=torch.int64, device="cpu"),
        ]
        where = address(code), address(state.words), *(t.data_ptr() for t in own)
        return Crowd._make((*where, group, pitch)), [*own, charts]

    def paths(self, used: list[Tensor]) -> Paths:
        """What was written down as entries."""
        return Paths(self.table.field_slots, used, self.feasible)


def _mark(kind: torch.dtype) -> torch.dtype:
    """What marks are made of beside fields of one kind."""
    return torch.int32 if kind == torch.float32 else torch.int64
