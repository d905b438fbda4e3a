"""Random calls at the sizes where sizes go wrong: nothing, one, more asked for than there is."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import semiring_struct as ss
from tests.executors.guarded import Overrun, agreed
from tests.programs.unshipped import Nussinov
from tests.structures import families as of
from tests.structures.families import Family, fields_of

BATCHES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17)
SIZES = (0, 1, 1, 2, 2, 3, 4, 5, 8, 13, 20)
WIDTHS = (1, 1, 2, 3, 5, 8, 9, 16, 31, 32, 33, 40)
FEW = (1, 1, 2, 3, 5, 8)


def seeded() -> torch.Generator:
    """The same draws each time."""
    return torch.Generator().manual_seed(7)


def _nussinov(n: int) -> Family:
    return Family(f"nussinov-{n}", Nussinov(), of.only, ((n, n),), (n,), lambda *_: None)


def _targets(r: random.Random, most: int) -> tuple[int, ...]:
    return tuple(r.randint(1, 3) for _ in range(r.randint(0, most)))


# `n` positions, `m` on another side, `c` labels and more, `k` anything from 0 on
DRAWN: tuple[Callable[[random.Random, int, int, int, int], Family], ...] = (
    lambda r, n, m, c, k: of.chain(n, c),
    lambda r, n, m, c, k: of.chain(n, c, tied=True),
    lambda r, n, m, c, k: of.segments(n, r.randint(1, n + 1), min(c, 8), tied=r.random() < 0.5),
    lambda r, n, m, c, k: of.spans(n),
    lambda r, n, m, c, k: of.spans(min(n, 8), min(c, 8)),
    lambda r, n, m, c, k: of.heads(n + 1, single_root=r.random() < 0.5),
    lambda r, n, m, c, k: of.alignment(n, m),
    lambda r, n, m, c, k: of.alignment(n, m, (n, m), (1, 1), (1, m)),
    lambda r, n, m, c, k: of.affine(n, m, local=r.random() < 0.5, tied=r.random() < 0.3),
    lambda r, n, m, c, k: of.warping(n, m),
    lambda r, n, m, c, k: of.held(n, m),
    lambda r, n, m, c, k: of.ctc(n, 4, _targets(r, n)),
    lambda r, n, m, c, k: of.one_of(c),
    lambda r, n, m, c, k: of.bits(n),
    lambda r, n, m, c, k: of.subset(n, k, at_most=r.random() < 0.5),
    lambda r, n, m, c, k: of.neighbours(n, k, tied=n > 1 and r.random() < 0.3),
    lambda r, n, m, c, k: of.accepted_chain(n, tied=r.random() < 0.5),
    lambda r, n, m, c, k: of.accepted_subset(n, k, at_most=r.random() < 0.5),
    lambda r, n, m, c, k: of.grammar(min(n, 6), min(c, 8), r.choice(FEW), spans=r.random() < 0.5),
    lambda r, n, m, c, k: of.low_rank_grammar(min(n, 6), min(c, 8), r.choice(FEW), r.choice(FEW)),
    lambda r, n, m, c, k: of.graph("ab,bc,cd,ad", a=min(c, 8), b=2, c=r.choice(FEW), d=min(k, 3) + 1),
    lambda r, n, m, c, k: of.arborescence(n + 1, single_root=r.random() < 0.5),
    lambda r, n, m, c, k: of.spanning(n),
    lambda r, n, m, c, k: of.matching(min(n, 6)),
    lambda r, n, m, c, k: _nussinov(n),
)


@dataclass(frozen=True)
class Case:
    """A family, potentials of it and lengths, and what is asked for."""

    family: Family
    phi: Any
    lengths: Any
    k: int
    samples: int
    what: str

    @property
    def ask(self) -> dict[str, Any]:
        return {} if self.lengths is None else {"lengths": self.lengths}

    def leaves(self) -> tuple[list[Tensor], Any]:
        """The potentials as leaves, and as the structure takes them."""
        fields = [f.clone().requires_grad_() for f in fields_of(self.phi)]
        return fields, self.family.kind(*fields)

    def like(self, make: Callable[[Tensor], Tensor]) -> Any:
        """Something for each of the potentials."""
        return self.family.kind(*map(make, fields_of(self.phi)))

    def queries(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Every query, by name."""
        s, phi, ask = self.family.structure, self.phi, self.ask

        def backward() -> Any:
            fields, live = self.leaves()
            return torch.autograd.grad(ss.log_partition(s, live, **ask).sum(), fields)

        def hessian() -> Any:
            fields, live = self.leaves()
            return torch.autograd.grad(sum(m.sum() for m in fields_of(ss.marginals(s, live, **ask))), fields)

        yield "log_partition", lambda: ss.log_partition(s, phi, **ask)
        yield "backward", backward
        yield "marginals", lambda: ss.marginals(s, phi, **ask)
        yield "backward of marginals", hessian
        yield "covariance_vp", lambda: ss.covariance_vp(s, phi, self.like(torch.ones_like), **ask)
        yield "max_score", lambda: ss.max_score(s, phi, **ask)
        yield "argmax", lambda: ss.argmax(s, phi, **ask)
        yield "argmax labels", lambda: ss.argmax(s, phi, labels=True, **ask)
        yield "topk", lambda: ss.topk(s, phi, self.k, **ask)
        yield "topk labels", lambda: ss.topk(s, phi, self.k, labels=True, **ask)
        yield "sample", lambda: ss.sample(s, phi, (self.samples,), generator=seeded(), **ask)
        yield "sample labels", lambda: ss.sample(s, phi, (self.samples,), generator=seeded(), labels=True, **ask)
        yield "distinct", lambda: ss.sample_without_replacement(s, phi, min(self.k, 5), generator=seeded(), **ask)
        yield "entropy", lambda: ss.entropy(s, phi, **ask)
        yield "count", lambda: ss.count(s, phi, **ask)


def cases(seed: int) -> Iterator[Case]:
    """Random cases without end."""
    r = random.Random(seed)
    while True:
        n, m, c, k = r.choice(SIZES), r.choice(SIZES), r.choice(WIDTHS), r.randrange(4)
        family = r.choice(DRAWN)(r, n, m, c, k)
        if any(size < 0 for shape in family.shapes for size in shape):
            continue
        batch, number = r.choice(BATCHES), r.randrange(1 << 30)
        scale, forbidden = r.choice((0.1, 1.0, 10.0, 1e3)), r.choice((0.0, 0.0, 0.2, 0.5))
        kind = r.choice((torch.float32, torch.float64))
        phi = family.draw((batch,), number, forbidden=forbidden, scale=scale)
        phi = family.kind(*(f.to(kind) for f in fields_of(phi)))
        lengths = family.lengths(batch, number) if batch and r.random() < 0.5 else None
        k, samples = r.choice((1, 2, 3, 7, 64)), r.choice((0, 1, 3, 70))
        what = f"{family} batch {batch} seed {number} scale {scale} forbidden {forbidden} {kind} k {k} draws {samples}"
        yield Case(family, phi, lengths, k, samples, f"{what}{'' if lengths is None else ' lengths'}")


def searched(case: Case, refused: Counter[str] | None = None) -> Iterator[str]:
    """What is found wrong with the queries of a case; what these refuse is counted."""
    for name, call in case.queries():
        try:
            agreed(call)
        except Overrun as error:
            yield f"{name} of {case.what}\n{error}"
        except (ValueError, NotImplementedError) as error:
            if refused is not None:
                refused[f"{name} of {type(case.family.structure).__name__}: {type(error).__name__} {error}"[:120]] += 1
        except Exception as error:
            yield f"{name} of {case.what}\n{type(error).__name__}: {error}"


def main(seed: int, seconds: float) -> None:
    """Run cases until the time is up; every finding is printed, and there is an exit status if there is one."""
    end, count, found, refused = time.monotonic() + seconds, 0, 0, Counter[str]()
    for case in cases(seed):
        for finding in searched(case, refused):
            found += 1
            sys.stdout.write(f"{finding}\n")
            sys.stdout.flush()
        count += 1
        if time.monotonic() > end:
            break
    sys.stdout.write("".join(f"{n} x {what}\n" for what, n in sorted(refused.items())))
    sys.stdout.write(f"{count} cases, {found} findings\n")
    sys.exit(found > 0)
