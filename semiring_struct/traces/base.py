"""The kind of structures that an algorithm defines by the choices it makes on noise, and the run of its loop."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from semiring_struct.errors import ShapeError, UnsupportedQueryError
from semiring_struct.ops import NEG_INF, known_all, prefix_mask
from semiring_struct.structures import Structure, bounds_of
from semiring_struct.traces import noise as noises
from semiring_struct.traces.cells import Cells
from semiring_struct.traces.choosers import Chooser, Draw, Greedy, OnNoise
from semiring_struct.traces.enumeration import Enumerate, Traces
from semiring_struct.traces.rates import Rates, check_field, check_trace, check_values
from semiring_struct.traces.replay import Conditional, Follow, Replay, Uncertainty

State = Any
"""A NamedTuple of tensors with a leading batch dim: what an algorithm remembers between steps."""


class AlgorithmTrace(Structure):
    r"""A recursive algorithm with the stochastic invariant, and the distribution of its trace on exponential noise.

    Each key (item, edge, pair) has noise `Exp(rate)`. Every step splits keys into cells, and takes of each cell the key
    of the smallest noise; what follows depends on the noise through these choices alone. So, given the choices so far,
    what is left of the noise is again exponential, and a choice is the key :math:`k` of its cell :math:`P` with
    probability :math:`\lambda_k / \sum_{j \in P} \lambda_j`: Algorithm 2 of Struminsky et al. 2021, sec. 2.2
    [struminsky2021].

    A subclass writes five methods on batched tensors, naming neither noise nor rates: `start`, `split`, `map`, `stop`,
    `combine`, and gives the number of entries of its trace. All of the rest follows by swapping the chooser.

    Shape:
        - log_rates: `(*batch, *shape)`; `-inf` forbids a key. `shape` is `(n,)` or `(m, m)`.
        - trace: `(*batch, entries)` int64. An entry is the chosen key, its index into the flattened `shape`; -1 where
          nothing is chosen.
        - noise: as log_rates; inf for a forbidden key.
        - lengths: None, integers `(*batch,)`, or a prefix mask; keys past a length are absent.

    Computed in float64, returned in the dtype of the log-rates (float32 for half precision).
    """

    rates_dim: ClassVar[int] = 1
    """The number of trailing dims of the log-rates, all of one size."""
    extra: ClassVar[int] = 0
    """By how much that size exceeds what `lengths` counts."""
    subtracts: ClassVar[bool] = True
    """False where keys that ever compete have always shared their cells: comparing then needs no subtraction."""

    @abstractmethod
    def entries(self, size: int) -> int:
        """The number of entries of a trace, for log-rates with dims of `size`."""

    @abstractmethod
    def size(self, entries: int) -> int:
        """The reverse."""

    def steps(self, size: int) -> int:
        """The largest number of steps. A run ends before it where all instances have stopped."""
        return self.entries(size)

    def reads(self, size: int, device: torch.device) -> Tensor | None:
        """The keys that the algorithm ever looks at, a boolean `shape`; None for all."""
        return None

    @abstractmethod
    def start(self, allowed: Tensor, lengths: Tensor) -> State:
        """What is known before the first step, from the keys that exist `(B, *shape)` and the lengths `(B,)`."""

    @abstractmethod
    def stop(self, state: State) -> Tensor:
        """Which instances are complete, `(B,)`. One that can not go on and is not complete is infeasible."""

    @abstractmethod
    def split(self, state: State, step: int) -> Cells:
        """The cells among which the choices of step 0, 1, ... are made; none for an instance that has stopped."""

    @abstractmethod
    def map(self, state: State, picks: Tensor) -> State:
        """What is known after the choices `picks (B, cells)`, -1 for none."""

    @abstractmethod
    def combine(self, trace: Tensor) -> Tensor:
        """The event of a trace: `(B, entries)` -> booleans `(B, *event)`."""

    def resolve(self, fields: tuple[Tensor, ...]) -> Structure:
        """Refuses the queries on potentials: log-rates are those of noise, and weigh no sum over structures."""
        who = type(self).__name__
        raise UnsupportedQueryError(
            f"{who} is an algorithm on noise and has no potentials; it offers methods (sample, log_prob, event, "
            f"greedy, from_noise, conditional_noise, enumerate_traces), and ss.TraceDistribution({who}(...), log_rates)"
        )

    def run(self, chooser: Chooser, log_rates: Tensor, lengths: Any = None) -> Tensor:
        """Run the algorithm with a chooser; returns the trace. Cost: the steps, each some operations on all keys."""
        return self._run(chooser, self.open(log_rates, lengths))

    def sample(
        self, log_rates: Tensor, sample_shape: int | Sequence[int] = (), *,
        generator: torch.Generator | None = None, lengths: Any = None,
    ) -> Tensor:  # fmt: skip
        """Exact, independent traces `(*sample_shape, *batch, entries)`.

        A given `generator` leaves the global one untouched. Raises `InfeasibleError` naming an instance that can not
        be completed.
        """
        with torch.no_grad():
            return self._least(Draw(generator), self.open(log_rates, lengths, sample_shape))

    def greedy(self, log_rates: Tensor, *, lengths: Any = None) -> Tensor:
        """The trace of the algorithm run on the mean noise, `(*batch, entries)`: highest rates first.

        `greedy(-log_noise)` is `from_noise` for noise of any scale.
        """
        with torch.no_grad():
            return self._least(Greedy(), self.open(log_rates, lengths))

    def from_noise(self, noise: Tensor, *, lengths: Any = None) -> Tensor:
        """The trace of the algorithm run on `noise`, any numbers of which the smallest are chosen; inf forbids."""
        check_field(type(self).__name__, "noise", noise, self.rates_dim, self.extra)
        check_values(type(self).__name__, "noise", noise.detach(), torch.inf)
        with torch.no_grad():
            allowed = torch.where(noise == torch.inf, NEG_INF, 0.0).to(noise.dtype)
            return self._least(OnNoise(noise), self.open(allowed, lengths))

    def log_prob(self, trace: Tensor, log_rates: Tensor, *, lengths: Any = None) -> Tensor:
        """Log-probability of a trace, `(*sample, *batch)`, differentiable in the log-rates to any order.

        `-inf` for a trace that uses a forbidden key; `ValueError` for choices that are no trace of the instance.
        """
        rates = self._with_trace(trace, log_rates, lengths)
        return rates.answer(self._log_prob(trace.expand(*rates.lead, -1), rates))

    def step_entropy(self, trace: Tensor, log_rates: Tensor, *, lengths: Any = None) -> Tensor:
        """The summed entropies, in nats, of the cells met along a trace, `(*sample, *batch)`; differentiable.

        Its mean over drawn traces is the entropy of the trace.
        """
        rates = self._with_trace(trace, log_rates, lengths)
        walk = Uncertainty(trace.expand(*rates.lead, -1))
        self._run(walk, rates)
        return rates.answer(walk.entropy)

    def event(self, trace: Tensor) -> Tensor:
        """The structure that a trace builds, `(*batch, *event)`, 0 or 1 in the default dtype."""
        who = type(self).__name__
        check_trace(who, trace)
        size = self.size(trace.shape[-1])
        if size < 1 or self.entries(size) != trace.shape[-1]:
            raise ShapeError(f"{who}: no instance has traces of {trace.shape[-1]} entries")
        check_trace(who, trace, keys=size**self.rates_dim)
        out = self.combine(trace.reshape(math.prod(trace.shape[:-1]), trace.shape[-1]))
        return out.reshape(*trace.shape[:-1], *out.shape[1:]).to(torch.get_default_dtype())

    def log_noise(
        self, log_rates: Tensor, sample_shape: int | Sequence[int] = (), *,
        generator: torch.Generator | None = None, lengths: Any = None,
    ) -> Tensor:  # fmt: skip
        """The log of noise drawn for all keys, `(*sample_shape, *batch, *shape)`: minus Gumbel utilities.

        Differentiable in the log-rates (reparameterised); inf for forbidden keys.
        """
        rates = self.open(log_rates, lengths, sample_shape)
        return rates.answer(noises.log_noise(rates, generator).reshape(*rates.lead, *rates.shape))

    def noise(
        self, log_rates: Tensor, sample_shape: int | Sequence[int] = (), *,
        generator: torch.Generator | None = None, lengths: Any = None,
    ) -> Tensor:  # fmt: skip
        """Independent `Exp(rate)` noise of all keys: the exponential of `log_noise`, which has the wider range."""
        return self.log_noise(log_rates, sample_shape, generator=generator, lengths=lengths).exp()

    def noise_log_prob(self, noise: Tensor, log_rates: Tensor, *, lengths: Any = None) -> Tensor:
        """Log-density of noise, `(*sample, *batch)`, over the keys that the algorithm reads and may choose."""
        who = type(self).__name__
        check_field(who, "noise", noise, self.rates_dim, self.extra)
        rates = self.open(log_rates, lengths, to=tuple(noise.shape[: noise.dim() - self.rates_dim]))
        shape = (*rates.lead, *rates.shape)
        given = rates.keys(noise.expand(shape), "noise")
        counts = rates.allowed.flatten(1)
        log_rate, x = torch.where(counts, rates.flat, 0.0), torch.where(counts, given, 1.0)
        each = log_rate - (log_rate + x.log()).exp()
        out = torch.where(counts, torch.where(x < 0, NEG_INF, each), 0.0).sum(-1)
        return rates.answer(out.reshape(rates.lead))

    def conditional_noise(
        self, trace: Tensor, log_rates: Tensor, *, generator: torch.Generator | None = None, lengths: Any = None
    ) -> Tensor:
        """Noise drawn given that the algorithm takes `trace`, `(*sample, *batch, *shape)`.

        Reparameterised: differentiable in the log-rates, the random numbers being those of one Exp(1) per key. Running
        the algorithm on it gives the trace back. Source: Algorithm 6 of [struminsky2021].
        """
        return self._given(trace, log_rates, generator, lengths, torch.exp)

    def conditional_log_noise(
        self, trace: Tensor, log_rates: Tensor, *, generator: torch.Generator | None = None, lengths: Any = None
    ) -> Tensor:
        """The log of `conditional_noise`, which neither under- nor overflows."""
        return self._given(trace, log_rates, generator, lengths, torch.clone)

    def conditional_mean(self, trace: Tensor, log_rates: Tensor, *, lengths: Any = None) -> Tensor:
        """The mean of the noise given the trace, exactly; averaged over traces it is 1 / rate."""
        rates = self._with_trace(trace, log_rates, lengths)
        fresh = rates.flat.new_zeros(*rates.lead, *rates.shape)
        return rates.answer(self._condition(trace.expand(*rates.lead, -1), fresh, rates).exp())

    def enumerate_traces(self, log_rates: Tensor, limit: int = 10_000, *, lengths: Any = None) -> Traces:
        """All complete traces with their log-probabilities; raises `ValueError` when there are more than `limit`."""
        enumerate = Enumerate(limit)
        traces = self.run(enumerate, log_rates, lengths)
        return Traces(traces, enumerate.log_probs.to(_answers(log_rates.dtype)))

    def open(
        self, log_rates: Tensor, lengths: Any = None, sample_shape: int | Sequence[int] = (),
        to: tuple[int, ...] = (),
    ) -> Rates:  # fmt: skip
        """Check log-rates and lengths; add sample dims, or broadcast with the lead dims `to`."""
        who, dims = type(self).__name__, self.rates_dim
        check_field(who, "log_rates", log_rates, dims, self.extra)
        check_values(who, "log_rates", log_rates.detach(), NEG_INF)
        cut = log_rates.dim() - dims
        batch, shape = tuple(log_rates.shape[:cut]), tuple(log_rates.shape[cut:])
        bounds = bounds_of(who, lengths, (shape[-1] - self.extra,), batch, log_rates.device)
        lead = (*_sample_shape(who, sample_shape), *batch)
        try:
            lead = tuple(torch.broadcast_shapes(lead, to))
        except RuntimeError:
            raise ShapeError(f"{who}: lead dims {to} do not fit the batch dims {batch} of log_rates") from None
        count = math.prod(lead)
        bound = bounds.reshape(batch).expand(lead).reshape(count)
        present = prefix_mask(bound + self.extra, shape[-1])
        present = present if dims == 1 else (present.unsqueeze(-1) & present.unsqueeze(-2)).flatten(1)
        wide = log_rates.to(torch.float64).expand(*lead, *shape).reshape(count, math.prod(shape))
        flat = torch.where(present, wide, NEG_INF)
        read = self.reads(shape[-1], log_rates.device)
        reads = present if read is None else present & read.flatten()
        return Rates(who, flat, shape, batch, lead, reads, bound, _answers(log_rates.dtype))

    def _with_trace(self, trace: Tensor, log_rates: Tensor, lengths: Any) -> Rates:
        who = type(self).__name__
        check_trace(who, trace)
        rates = self.open(log_rates, lengths, to=tuple(trace.shape[:-1]))
        check_trace(who, trace, self.entries(rates.shape[-1]), rates.flat.shape[-1])
        return rates

    def _given(
        self, trace: Tensor, log_rates: Tensor, generator: torch.Generator | None, lengths: Any,
        scale: Callable[[Tensor], Tensor],
    ) -> Tensor:  # fmt: skip
        """Noise given a trace, brought from its log to the scale of the answer while still in float64."""
        rates = self._with_trace(trace, log_rates, lengths)
        fresh = noises.log_exponential(rates, generator).reshape(*rates.lead, *rates.shape)
        return rates.answer(scale(self._condition(trace.expand(*rates.lead, -1), fresh, rates)))

    def _least(self, chooser: Draw | Greedy | OnNoise, rates: Rates) -> Tensor:
        """The trace on noise; an algorithm may know a shorter way than its steps."""
        return self._run(chooser, rates)

    def _log_prob(self, trace: Tensor, rates: Rates) -> Tensor:
        """The log-probability of a trace `(*lead, entries)`; likewise."""
        replay = Replay(trace)
        self._run(replay, rates)
        return replay.log_prob

    def _condition(self, trace: Tensor, fresh: Tensor, rates: Rates) -> Tensor:
        """The log of noise `(*lead, *shape)` given a trace; likewise."""
        conditional = Conditional(trace, fresh)
        self._run(conditional, rates)
        return conditional.log_noise

    def _run(self, chooser: Chooser, rates: Rates) -> Tensor:
        chooser.begin(rates, self.subtracts)
        trace, state = self._loop(chooser, self.start(rates.allowed, rates.lengths), rates.shape[-1])
        return chooser.finish(rates, trace, self.stop(state))

    def _loop(self, chooser: Chooser, state: State, size: int) -> tuple[Tensor, State]:
        """The loop of the algorithm: the trace `(B, entries)` and what is known at its end."""
        trace = state[0].new_full((len(state[0]), self.entries(size)), -1, dtype=torch.int64)
        for step in range(self.steps(size)):
            if len(trace) and known_all(self.stop(state)):  # without instances the answer still follows from the rates
                break
            cells = self.split(state, step)
            picks, rows = chooser.choose(cells)
            if rows is not None:
                state, trace = type(state)(*(x[rows] for x in state)), trace[rows]
            first, last = cells.first, cells.first + cells.size
            new = torch.where(picks >= 0, picks, trace[:, first:last])
            trace = torch.cat([trace[:, :first], new, trace[:, last:]], -1)
            state = self.map(state, picks)
        return trace, state

    def follow(self, trace: Tensor, allowed: Tensor, lengths: Tensor) -> State:
        """What is known at the end of a trace `(B, entries)`."""
        chooser = Follow(trace)
        return self._loop(chooser, self.start(allowed, lengths), allowed.shape[-1])[1]


def _sample_shape(who: str, sample_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"{who} needs a sample_shape of integers >= 0; got {sample_shape!r}")
    return shape


def _answers(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
