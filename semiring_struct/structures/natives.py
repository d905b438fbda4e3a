"""Native answers: what a structure may compute by an algorithm of its own instead of by a program."""

from __future__ import annotations

from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError

Fields = tuple[Tensor, ...]


class Natives:
    """The native methods. A structure offers those that its class overrides; `inference` derives queries from them.

    All take the (prepared) `fields`, each `(B, *event)` in float32 or float64 without NaN or +inf, and `lengths`
    `(B, sides)` int64. Those that find structures return `(first, *used)`: `used` holds for each field the flat indices
    `(paths, uses)` of the entries that each path uses, -1 for none; path `p` is of instance `p % B`.
    """

    def partition(self, fields: Fields, lengths: Tensor) -> Tensor:
        """Log of the summed weights of all structures, `(B,)` float64, differentiable twice; `-inf` where none is."""
        raise self._lacking("partition")

    def partition_and_marginals(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """`partition` and then, per field, its gradient `(B, *event)`, differentiable once more.

        Without this method autograd differentiates `partition`; with it marginals work under `torch.func` as well.
        """
        raise self._lacking("partition_and_marginals")

    def count(self, fields: Fields, lengths: Tensor) -> Tensor:
        """How many structures have a finite score, `(B,)` float64. Without it: `partition` with all weights 1."""
        raise self._lacking("count")

    def best(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """One best structure: `first (B,)` bool says whether there is any."""
        raise self._lacking("best")

    def k_best(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """The `k` best, best first, `k * B` paths beginning with what `best` finds: `first` says which are real."""
        raise self._lacking("k_best")

    def draws(self, fields: Fields, lengths: Tensor, number: int, seed: Tensor) -> tuple[Tensor, ...]:
        """Exact, independent draws, `number * B` paths: `first` says whether the instance has a structure.

        All noise follows from `seed (1,)` int64, as by `ops.uniform_at`.
        """
        raise self._lacking("draws")

    def distinct_draws(self, fields: Fields, lengths: Tensor, k: int, seed: Tensor) -> tuple[Tensor, ...]:
        """`k` draws without replacement, `k * B` paths in order: `first` is the log-probability plus Gumbel noise.

        The noise is that of Gumbel top-k sampling, so `first` descends along each instance; `-inf` for blanks.
        """
        raise self._lacking("distinct_draws")

    def log_probs(self, fields: Fields, lengths: Tensor, *used: Tensor) -> Tensor:
        """Log-probabilities `(paths,)` float64 of structures, by the entries `(paths, uses)` they use, in order.

        For structures whose probabilities are no weights over a partition function; differentiable twice, `-inf` for
        entries that form no structure.
        """
        raise self._lacking("log_probs")

    def greedy(self, fields: Fields, lengths: Tensor) -> tuple[Tensor, ...]:
        """A structure made of locally best choices: `first (B,)` bool says whether it could be completed."""
        raise self._lacking("greedy")

    def beam(self, fields: Fields, lengths: Tensor, k: int) -> tuple[Tensor, ...]:
        """Up to `k` good structures, `k * B` paths: `first` is the log-probability, descending; `-inf` for blanks."""
        raise self._lacking("beam")

    def offers(self, native: str) -> bool:
        """Whether this class has a native method of that name."""
        return getattr(type(self), native) is not getattr(Natives, native)

    def _lacking(self, native: str) -> UnsupportedQueryError:
        return UnsupportedQueryError(f"{type(self).__name__} has no native {native}")


NATIVES = tuple(name for name in vars(Natives) if not name.startswith("_") and name != "offers")
