"""The distribution of the trace of an algorithm on exponential noise, as a torch.distributions object."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint, dependent_property

from semiring_struct.distributions.support import log_potentials_constraint
from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.traces import AlgorithmTrace, Traces


class TraceDistribution(Distribution):
    r"""The law of the choices that an algorithm makes on noise `Exp(exp(log_rates))`, smallest first.

    Args:
        algorithm: such as `ss.traces.Kruskal()`, or the user's own `AlgorithmTrace`.
        log_rates: `(*batch, *shape)`; `-inf` forbids an item.
        lengths: None, integers `(*batch,)`, or a prefix mask.
        validate_args: as in torch; traces are checked by `log_prob` whatever it says.

    Shape: a value is a trace, `(*sample, *batch, entries)` int64; `event` gives the structure that it builds. Several
    traces may build the same structure, whose probability is then their sum.

    A score-function estimator on traces has no more variance than one on the noise, and no less than one on structures:
    Struminsky et al. 2021, sec. 3.2 [struminsky2021].
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"log_rates": log_potentials_constraint}
    has_rsample = False
    has_enumerate_support = True

    def __init__(
        self, algorithm: AlgorithmTrace, log_rates: Tensor, lengths: Any = None, validate_args: bool | None = None
    ):
        if not isinstance(algorithm, AlgorithmTrace):
            raise TypeError(f"TraceDistribution needs an algorithm, ss.traces.TopK(3) say; got {algorithm!r}")
        rates = algorithm.open(log_rates, lengths)
        self.algorithm, self.log_rates = algorithm, log_rates
        self.lengths = None if lengths is None else rates.lengths.reshape(rates.batch)
        entries = algorithm.entries(rates.shape[-1])
        super().__init__(Size(rates.batch), Size((entries,)), validate_args=validate_args)

    @dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Constraint:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Integers, each a key or -1; `log_prob` refuses those that are no trace."""
        keys = self.log_rates.shape[len(self._batch_shape) :].numel()
        return constraints.independent(constraints.integer_interval(-1, keys - 1), 1)

    def sample(self, sample_shape: int | Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact, independent traces `(*sample_shape, *batch, entries)`."""
        return self.algorithm.sample(self.log_rates, sample_shape, generator=generator, lengths=self.lengths)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of traces, `(*sample, *batch)`; `ValueError` for what is no trace."""
        return self.algorithm.log_prob(value, self.log_rates, lengths=self.lengths)

    def event(self, trace: Tensor) -> Tensor:
        """The structures that traces build, `(*sample, *batch, *event)`, 0 or 1 in the dtype of the answers."""
        return self.algorithm.event(trace).to(self._dtype)

    def greedy(self) -> Tensor:
        """The trace of the algorithm run on the mean noise, `(*batch, entries)`: highest rates first."""
        return self.algorithm.greedy(self.log_rates, lengths=self.lengths)

    def noise(self, sample_shape: int | Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Noise `(*sample_shape, *batch, *shape)`, reparameterised; `from_noise` gives its trace."""
        return self.algorithm.noise(self.log_rates, sample_shape, generator=generator, lengths=self.lengths)

    def from_noise(self, noise: Tensor) -> Tensor:
        """The trace of the algorithm run on noise `(*sample, *batch, *shape)`."""
        return self.algorithm.from_noise(noise, lengths=self.lengths)

    def noise_log_prob(self, noise: Tensor) -> Tensor:
        """Log-density of noise, `(*sample, *batch)`, over the items that the algorithm reads."""
        return self.algorithm.noise_log_prob(noise, self.log_rates, lengths=self.lengths)

    def conditional_noise(self, trace: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Noise given its trace, `(*sample, *batch, *shape)`, reparameterised in the log-rates."""
        return self.algorithm.conditional_noise(trace, self.log_rates, generator=generator, lengths=self.lengths)

    def enumerate_traces(self, limit: int = 10_000) -> Traces:
        """All traces of positive probability `(s, *batch, entries)`, and their log-probabilities."""
        return self.algorithm.enumerate_traces(self.log_rates, limit, lengths=self.lengths)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every trace `(s, *batch, entries)`, forbidden or not; with `expand=False`, `(s, 1, .., 1, entries)`.

        Raises `UnsupportedQueryError` where lengths differ within the batch, `ValueError` for more than 10000 traces.
        """
        lengths = None if self.lengths is None else self.lengths.flatten()
        if lengths is not None and not bool((lengths == lengths[:1]).all()):
            raise UnsupportedQueryError("enumerate_support needs one length for the whole batch; see enumerate_traces")
        blank = self.log_rates.new_zeros(self.log_rates.shape[len(self._batch_shape) :])
        one = None if lengths is None or not len(lengths) else lengths[0]
        traces = self.algorithm.enumerate_traces(blank, lengths=one).traces
        traces = traces.reshape(len(traces), *[1] * len(self._batch_shape), traces.shape[-1])
        return traces.expand(len(traces), *self._batch_shape, -1) if expand else traces

    def entropy(self) -> Tensor:
        """Refused: a sum over all traces. See `entropy_estimate`, or `enumerate_traces` for small instances."""
        raise UnsupportedQueryError(f"{self!r} has no entropy in closed form; use entropy_estimate or enumerate_traces")

    def entropy_estimate(self, samples: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """An unbiased estimate of the trace's entropy in nats, `(*batch,)`, whose gradient is unbiased too.

        The mean over drawn traces of the summed entropies of the cells they met: the exact entropy of each choice takes
        the place of its log-probability. The gradient adds the score-function term, with the mean of the other samples
        as its baseline [kool2019buy].
        """
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise ValueError(f"entropy_estimate needs samples >= 1; got {samples!r}")
        traces = self.sample((samples,), generator=generator)
        value = self.algorithm.step_entropy(traces, self.log_rates, lengths=self.lengths)
        log_prob, fixed = self.log_prob(traces), value.detach()
        advantage = (fixed - fixed.mean(0)) * (samples / max(samples - 1, 1)) if samples > 1 else fixed
        return (value + advantage * (log_prob - log_prob.detach())).mean(0)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distribution with its batch dims expanded; takes no memory."""
        new = copy.copy(self) if _instance is None else _instance
        batch = Size(batch_shape)
        new.algorithm = self.algorithm
        new.log_rates = self.log_rates.expand(*batch, *self.log_rates.shape[len(self._batch_shape) :])
        new.lengths = None if self.lengths is None else self.lengths.expand(batch)
        super(TraceDistribution, new).__init__(batch, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self.log_rates.dtype == torch.float64 else torch.float32

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.algorithm!r}, log_rates: {tuple(self.log_rates.shape)})"
