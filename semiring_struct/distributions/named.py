"""The distributions by the names of their field, each a structure with its potentials."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from semiring_struct.distributions.base import StructDistribution
from semiring_struct.structures import (
    Alignment,
    AlignmentPotentials,
    ChainPotentials,
    LinearChain,
    ProjectiveTree,
    SemiMarkov,
    SemiMarkovPotentials,
    SpanTree,
    hmm,
)


class LinearChainCRF(StructDistribution):
    """Tag sequences: `ChainPotentials(emission (*batch, n, c), transition (*batch, n-1 or 1, c, c))`.

    Labels: `(*batch, n)` tags. Cost of a query: `O(n c^2)` per instance. See `LinearChain`.
    """

    def __init__(self, log_potentials: ChainPotentials, lengths: Any = None, validate_args: bool | None = None):
        super().__init__(LinearChain(), log_potentials, lengths, validate_args)


class HMM(StructDistribution):
    """The posterior over the hidden states of a hidden Markov model, given its observations.

    `initial (*batch, c)`, `transition (*batch, c, c)` [from, to], `emission (*batch, c, v)` and `observations
    (*batch, n)` as in `hmm`, which normalises the scores and raises the errors; those past `lengths` are ignored, a
    padding of -1 too. Keeps only the chain potentials that follow from them; `log_partition()` is the log-probability
    of the observations.
    """

    def __init__(
        self, initial: Tensor, transition: Tensor, emission: Tensor, observations: Any, lengths: Any = None,
        validate_args: bool | None = None,
    ):  # fmt: skip
        phi = hmm(initial, transition, emission, observations, lengths)
        super().__init__(LinearChain(), phi, lengths, validate_args)


class SemiMarkovCRF(StructDistribution):
    """Labelled segmentations: `SemiMarkovPotentials(segment (*batch, n, w, c), transition (*batch, n or 1, c, c))`.

    Labels: `(*batch, n, 2)`, width index and label where a segment starts. Cost: `O(n c (w + c))`. See `SemiMarkov`.
    """

    def __init__(self, log_potentials: SemiMarkovPotentials, lengths: Any = None, validate_args: bool | None = None):
        super().__init__(SemiMarkov(), log_potentials, lengths, validate_args)


class TreeCRF(StructDistribution):
    """Binary bracketings: potentials `(*batch, n, n)` or `(*batch, n, n, c)`, `[i, j(, label)]` for the span `i .. j`.

    `labelled` says which, as in `SpanTree`; None tells by the sizes. Cost: `O(n^3 + n^2 c)`. See `SpanTree`.
    """

    def __init__(
        self, log_potentials: Tensor, lengths: Any = None, validate_args: bool | None = None, *,
        labelled: bool | None = None,
    ):  # fmt: skip
        super().__init__(SpanTree(labelled=labelled), log_potentials, lengths, validate_args)


class ProjectiveDependencyCRF(StructDistribution):
    """Projective dependency trees: potentials `(*batch, m, m)`, `[head, dependent]`, node 0 the root, `m = words + 1`.

    `lengths` counts words. `single_root=True` keeps the trees with one word under the root. Cost: `O(m^3)`. See
    `ProjectiveTree`.
    """

    def __init__(
        self, log_potentials: Tensor, lengths: Any = None, validate_args: bool | None = None, *,
        single_root: bool = False,
    ):  # fmt: skip
        super().__init__(ProjectiveTree(single_root=single_root), log_potentials, lengths, validate_args)


class AlignmentCRF(StructDistribution):
    """Global alignments: `AlignmentPotentials(match (*batch, n, m), delete (*batch, n, m+1), insert (*batch, n+1, m))`.

    `lengths` is a pair, of both sequences. Cost: `O(n m)`. See `Alignment`.
    """

    def __init__(self, log_potentials: AlignmentPotentials, lengths: Any = None, validate_args: bool | None = None):
        super().__init__(Alignment(), log_potentials, lengths, validate_args)
