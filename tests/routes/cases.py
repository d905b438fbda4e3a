"""One case of the contract: a structure, its potentials and how they come, all of it from one seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor

from tests.routes.models import MAKERS, Model, listed

SHARED = 32
"""So many cases in a row are of one structure and size: they share the recorded program and one reference."""
BATCHES = ((), (1,), (3,), (4,), (4,), (7,), (8,), (8,), (9,), (17,), (17,), (2, 3), (3, 1, 3), (2, 4), (33,))
SCALES = (0.1, 1.0, 1.0, 10.0, 30.0, 50.0, 100.0, 1000.0, 1e4)
FORBIDDEN = (0.0, 0.0, 0.1, 0.2, 0.5)
DTYPES = (torch.float32, torch.float32, torch.float32, torch.float64, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = ("plain", "plain", "strided", "shared")
THREADS = (1, 1, 1, 3)
MACHINES = ("", "", "", "", "", "", "", "", "", "", "", "eager")  # "" leaves the choice to the library
LARGEST_HALF = 6e4


@dataclass(frozen=True)
class Case:
    """`layout`: strided fields have their batch dims last in memory; shared: the last field has no batch dims.

    `tied` potentials are whole multiples of a power of 2, so that many structures are equally good, without rounding.
    """

    seed: int
    model: Model
    batch: tuple[int, ...]
    dtype: torch.dtype
    scale: float
    forbidden: float
    layout: str
    tied: bool
    padded: bool
    weighted: bool
    threads: int
    machine: str

    def __str__(self) -> str:
        said = [f"{self.model}, batch {self.batch}, {str(self.dtype).removeprefix('torch.')}, scale {self.scale:g}"]
        said += [f"{self.forbidden:g} forbidden", self.layout, "lengths" * self.padded, "ties" * self.tied]
        said += [f"{self.threads} threads" * (self.threads > 1), self.machine, f"--case {self.seed}"]
        return ", ".join(filter(None, said))

    @property
    def count(self) -> int:
        """How many instances."""
        return math.prod(self.batch)

    @cached_property
    def _drawn(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        generator = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        fields, vector = [], []
        for i, shape in enumerate(self.model.shapes):
            lead = () if self._is_shared(i) else self.batch
            x = normal(*lead, *shape)
            x = x.round() * 2.0 ** round(math.log2(self.scale)) if self.tied else x * self.scale
            x = x.clamp(-LARGEST_HALF, LARGEST_HALF) if self.dtype == torch.float16 else x
            x = x.masked_fill(torch.rand(x.shape, generator=generator) < self.forbidden, -math.inf)
            fields.append(_last(x.to(self.dtype), len(lead)) if self.layout == "strided" else x.to(self.dtype))
            vector.append(normal(*lead, *shape).to(self.dtype))
        sides = []
        for size in self.model.sizes:
            side = torch.randint(self.model.least, size + 1, (self.count,), generator=generator)
            side[torch.randint(0, self.count, (1,), generator=generator)] = size
            sides.append(side.reshape(self.batch))
        rows = tuple(r.reshape((*self.batch, *r.shape[1:])) for r in self.model.rows_for(self.count, generator))
        weights = normal(self.count) if self.weighted else torch.ones(self.count, dtype=torch.float64)
        if self.weighted and self.count > 2:
            weights[self.seed % self.count] = 0
        return tuple(fields), tuple(vector), tuple(sides), rows, weights.to(self.answers).double().reshape(self.batch)

    def _is_shared(self, field: int) -> bool:
        return self.layout == "shared" and 0 < field == len(self.model.shapes) - 1

    @property
    def answers(self) -> torch.dtype:
        """The dtype of answers."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def fields(self) -> tuple[Tensor, ...]:
        """The potentials as they are given."""
        return self._drawn[0]

    @property
    def vector(self) -> tuple[Tensor, ...]:
        """What the Hessian is multiplied with, shaped like the fields."""
        return self._drawn[1]

    @property
    def weights(self) -> Tensor:
        """The incoming gradient of a total `(*batch,)`."""
        return self._drawn[4]

    @property
    def phi(self) -> Any:
        return self.model.kind(*self.fields)

    @property
    def lengths(self) -> Any:
        sides = self._drawn[2]
        return None if not self.padded or not sides else sides[0] if len(sides) == 1 else sides

    @cached_property
    def structure(self) -> Any:
        return self.model.build(*self._drawn[3])

    @property
    def rows(self) -> tuple[Tensor, ...]:
        """The instances' own data `(instances, ...)`."""
        return tuple(r.reshape((self.count, *r.shape[len(self.batch) :])) for r in self._drawn[3])

    def whole(self, fields: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fields or vectors in float64 `(instances, *shape)`."""
        return tuple(
            f.double().expand((*self.batch, *shape)).reshape((self.count, *shape))
            for f, shape in zip(fields, self.model.shapes, strict=True)
        )

    @cached_property
    def bounds(self) -> tuple[Tensor, ...]:
        """The lengths of every instance `(instances,)` by side, the full ones where none are given."""
        full = tuple(torch.full((self.count,), size) for size in self.model.sizes)
        return tuple(side.flatten() for side in self._drawn[2]) if self.padded else full


def _last(x: Tensor, lead: int) -> Tensor:
    """The same numbers, with the leading dims last in memory."""
    order = (*range(lead, x.dim()), *range(lead))
    back = tuple(order.index(i) for i in range(x.dim()))
    return x.permute(order).contiguous().permute(back)


def case(seed: int) -> Case:
    """The case of a seed."""
    group = seed // SHARED
    turn, place = divmod(group, len(MAKERS))
    before = sum(m is listed for m in MAKERS[:place])
    model = MAKERS[place](Random(group), turn * sum(m is listed for m in MAKERS) + before)
    rng = Random(seed + (1 << 40))
    dtype, scale = rng.choice(DTYPES), rng.choice(SCALES)
    padded = bool(model.sizes) and rng.random() < 0.5
    return Case(
        seed, model, rng.choice(BATCHES), dtype, scale, rng.choice(FORBIDDEN), rng.choice(LAYOUTS),
        tied=rng.random() < 0.15, padded=padded, weighted=rng.random() < 0.5, threads=rng.choice(THREADS),
        machine=rng.choice(MACHINES),
    )  # fmt: skip


def groups(seed: int) -> Iterator[list[Case]]:
    """Cases without end, in groups of one structure and size, from a seed on; seeds lie far apart."""
    start = seed * (1 << 24)
    while True:
        yield [case(start + i) for i in range(SHARED)]
        start += SHARED
