"""Walks of the CPU machine: what compiled code reads and writes is laid out here, and shared out among threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from semiring_struct.executors.cpu.cells import Charted, cells_of
from semiring_struct.executors.cpu.hops import hop_draws
from semiring_struct.executors.cpu.memory import empty
from semiring_struct.executors.cpu.native import WIDE
from semiring_struct.executors.cpu.paths import Record, Source, Work, walk_best, walk_draws
from semiring_struct.executors.cpu.ranks import HEADER, LOSSES, STATE, Ranking, room, walk_k_best
from semiring_struct.executors.cpu.threads import share_out
from semiring_struct.executors.eager.local import Buffers
from semiring_struct.executors.eager.paths import Walk
from semiring_struct.executors.machine import Code, Job, Paths

GROUP = 64  # paths that take their steps side by side: the processor works on several of them at once
CROWD = 256  # the same where they are at one place each: more of them find in the cache what others have read
TABLE_BYTES = 1 << 28  # no thread keeps more choices than this
SMALL = 1 << 10  # steps that one thread does in less time than it takes to wake another


def able(job: Job) -> bool:
    """Whether the program's addresses fit the table."""
    return cells_of(job.program) is not None


def best(job: Job, charts: Tensor) -> Paths:
    """One best derivation per instance; the first alternative on ties."""
    run = _Run(job, charts)
    used = run.entries(run.batch)
    run.best()
    return run.paths(used)


def best_labels(job: Job, charts: Tensor, code: Code) -> tuple[Tensor, Tensor]:
    """The same as `feasible (batch,)` and labels `(batch, width)`."""
    run = _Run(job, charts)
    labels = run.labels(run.batch, code)
    run.best()
    return run.feasible, labels


def draws(job: Job, charts: Tensor, seed: Tensor, samples: int) -> Paths:
    """Exact draws, those of the eager machine up to the rounding of the choices."""
    run = _Run(job, charts)
    used = run.entries(run.batch * samples)
    run.draws(seed, samples)
    return run.paths(used)


def drawn_labels(job: Job, charts: Tensor, seed: Tensor, samples: int, code: Code) -> tuple[Tensor, Tensor]:
    """The same as `feasible (paths,)` and labels `(paths, width)`."""
    run = _Run(job, charts)
    labels = run.labels(run.batch * samples, code)
    run.draws(seed, samples)
    return run.feasible, labels


def k_best(job: Job, charts: Tensor, k: int) -> Paths:
    """The k best derivations per instance; of tied ones those of the first alternatives come first."""
    run = _Run(job, charts)
    used = run.entries(run.batch * k)
    scores = run.k_best(k)
    return replace(run.paths(used), key=scores)


def k_best_labels(job: Job, charts: Tensor, k: int, code: Code) -> tuple[Tensor, Tensor]:
    """The same as scores `(paths,)` and labels `(paths, width)`."""
    run = _Run(job, charts)
    labels = run.labels(run.batch * k, code)
    return run.k_best(k), labels


@dataclass
class _Run:
    """One walk; `held` keeps alive what addresses point to."""

    job: Job
    charts: Tensor

    def __post_init__(self) -> None:
        table = cells_of(self.job.program)
        if table is None:
            raise RuntimeError("a program whose addresses outgrow 32 bits walks with the eager machine")
        self.table: Charted = table
        self.batch, self.kind = len(self.charts), self.job.fields[0].dtype
        self.like = np.float32(0) if self.kind == torch.float32 else np.float64(0)
        walk = Walk(self.job.program, Buffers(self.job.fields, self.charts), self.job.lengths)
        where = [[f.data_ptr(), f.stride(0) * f.element_size()] for f in self.job.fields]
        address, stride = (_longs(column) for column in zip(*where, strict=True))
        self.held = [walk.root.to(torch.int32).contiguous(), walk.empty, self.charts.contiguous(), address, stride]
        self.source = Source._make((*(t.data_ptr() for t in self.held), self.batch))

    def _record(self, paths: int, labels: Tensor, used: Sequence[int], codes: Sequence, slots: Sequence[int]) -> None:
        self.feasible = torch.empty(paths, dtype=torch.bool)
        parts = [self.feasible, labels, _longs(used), _longs(codes), torch.tensor(slots, dtype=torch.int32)]
        self.held += parts
        self.record = Record._make((*(t.data_ptr() for t in parts), len(slots), labels.shape[1]))

    def entries(self, paths: int) -> list[Tensor]:
        """Write down the entries used: per slot of a field `(paths, longest)`, -1 for none."""
        cells, fields = self.table.cells, self.table.field_slots
        used = [torch.empty((paths, cells.longest), dtype=torch.int64) for _ in fields]
        where = [0] * cells.chart_slots + [u.data_ptr() for u in used]
        every = range(cells.chart_slots + len(fields))
        self._record(paths, torch.empty((paths, 0), dtype=torch.int64), where, [], every)
        return used

    def labels(self, paths: int, code: Code) -> Tensor:
        """Write down labels `(paths, width)`."""
        out, cells = empty((paths, code.width), torch.int64), self.table.cells
        codes = [[0, 0, 0]] * len(code.fields)
        for f, pair in enumerate(code.fields):
            if pair is not None:
                n, q = pair[0].shape
                written = torch.zeros((n + 1, q, 2), dtype=torch.int32)
                written[:n, :, 0], written[:n, :, 1] = pair[0], pair[1] + 1
                written[..., 0].masked_fill_(torch.cat([pair[0], pair[0].new_full((1, q), -1)]) < 0, code.width)
                self.held.append(written)
                codes[f] = [written.data_ptr(), q, n]
        slots = [q for q, f in enumerate(self.table.buffers) if q < cells.chart_slots or code.fields[f] is not None]
        self._record(paths, out, [0] * len(self.table.buffers), codes, slots)
        return out

    def _work(self, group: int, keep: bool) -> tuple[Work, list[Tensor]]:
        most, cells = max(self.table.most, 1), self.table.cells
        mark = torch.int32 if self.kind == torch.float32 else torch.int64
        own = [
            torch.empty(most, dtype=torch.float64),
            torch.empty(most, dtype=self.kind),
            torch.empty((cells.longest + 1, group), dtype=torch.int32),
            torch.zeros(group, dtype=torch.int64),
            torch.empty((group, self.record.width + 1), dtype=torch.int32),
            torch.empty((self.table.width if keep else most) + WIDE, dtype=mark),
            torch.zeros(cells.cells + 1, dtype=torch.uint8),
            torch.empty(group, dtype=torch.int64),
            torch.empty(group, dtype=mark),
            torch.empty(group, dtype=torch.int32),
        ]
        return Work._make((*(t.data_ptr() for t in own), group, int(keep))), own

    def best(self) -> None:
        """The best derivation of every instance."""

        def piece(start: int, end: int) -> None:
            work, _own = self._work(1, False)
            walk_best(self.table.cells, self.source, self.record, work, self.like, start, end)

        share_out(piece, self.batch, self.batch * self.table.cells.longest < SMALL)

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

    def k_best(self, k: int) -> Tensor:
        """The k best derivations of every instance; their scores `(k * batch,)`, `-inf` where there are fewer."""
        scores = torch.empty(k * self.batch, dtype=torch.float64)

        def piece(start: int, end: int) -> None:
            (work, _own), (ranking, _ranked) = self._work(1, False), self._ranking(k, scores)
            walk_k_best(self.table.cells, self.source, self.record, work, ranking, self.like, k, start, end)

        share_out(piece, self.batch, k * self.batch * self.table.cells.longest < SMALL)
        return scores

    def draws(self, seed: Tensor, samples: int) -> None:
        """`samples` draws of every instance, the samples of one shared out where instances are few."""
        pieces, key = -(-torch.get_num_threads() // max(self.batch, 1)), int(seed.numpy()[0])
        keep = samples > 1 and 0 < self.table.width * self.like.itemsize <= TABLE_BYTES
        charts = self.table.cells.chart_slots
        hops = keep and self.record.width > 0 and charts < 2 and self.record.count > charts
        run, most = (hop_draws, CROWD) if hops else (walk_draws, GROUP)
        group = max(1, min(most, samples))

        def piece(start: int, end: int) -> None:
            work, _own = self._work(group, keep)
            rest = work, self.like, key, samples, pieces, start, end
            run(self.table.cells, self.source, self.record, *rest)

        share_out(piece, self.batch * pieces, self.batch * samples * self.table.cells.longest < SMALL)

    def paths(self, used: list[Tensor]) -> Paths:
        """What was written down as entries."""
        return Paths(self.table.field_slots, used, self.feasible)


def _longs(values: Sequence) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
