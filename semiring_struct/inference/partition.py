"""Queries that are totals and their gradients: partition, marginals, and everything that follows from the two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference.beside import open_both, open_with_values, open_with_vector
from semiring_struct.inference.door import Door, open_door
from semiring_struct.inference.fields import double, fields_of
from semiring_struct.inference.oracles import (
    LOG,
    MAX,
    curved,
    generic_total,
    program_total,
    sloped,
    taped,
    wide_total,
)
from semiring_struct.ops import common_dtype, known_all, refuse_where
from semiring_struct.semirings import Reduction, Semiring
from semiring_struct.structures import Structure


def total(door: Door, reduction: Reduction | None, seed: int = 0) -> Tensor:
    """The same in the dtype of the potentials (float32 for half precision)."""
    return wide_total(door, reduction, seed).to(door.fields[0].dtype)


def log_partition(structure: Structure, log_potentials: Any, lengths: Any = None) -> Tensor:
    """Log of the summed weights of all structures, `(*batch,)`; `-inf` where none is feasible.

    Differentiable twice: its gradient is `marginals`, and a third order raises. `lengths`: integers `(*batch,)`, a
    prefix mask, or a pair for two-sided structures; parts past a length get gradient 0. Cost: one forward pass.
    """
    return total(open_door(structure, log_potentials, lengths), LOG)


def max_score(structure: Structure, log_potentials: Any, lengths: Any = None) -> Tensor:
    """The score of a best structure, `(*batch,)`; its gradient is one best structure. Cost: one forward pass."""
    return total(open_door(structure, log_potentials, lengths), MAX)


def marginals(structure: Structure, log_potentials: Any, lengths: Any = None) -> Any:
    """The expected event, shaped like the log-potentials: the gradient of `log_partition`, itself differentiable.

    All 0 where no structure is feasible. Cost: one forward and one backward pass.

    As a soft event (structured attention) - Bias: that of a soft event in the place of a random one. Needs: a partition
    function. Does not need: a cost defined on structures only.
    """
    return means(open_door(structure, log_potentials, lengths), LOG)


def means(door: Door, reduction: Reduction | None) -> Any:
    """The gradient of the total of every instance, in the form of the potentials."""
    return total_and_means(door, reduction)[1]


def total_and_means(door: Door, reduction: Reduction | None) -> tuple[Tensor, Any]:
    """The total of every instance in float64, and its gradient in the form of the potentials, from one forward pass."""
    if taped(door, reduction):
        return wide_total(door, reduction), _means_by_tape(door, reduction)
    value, out = sloped(door, reduction)
    if door.structure.prepares:
        return door.shape(value), door.pack(door.pull_back(out))
    return door.shape(value), door.pack([door.shape(g) for g in out])


def _means_by_tape(door: Door, reduction: Reduction | None) -> Any:
    """The gradient reaches the potentials through a native partition, by autograd."""

    def summed(*fields: Tensor) -> Tensor:
        return total(open_door(door.structure, door.pack(fields), _given(door)), reduction).sum()

    return door.pack(slopes_of(summed, door.fields))


def slopes_of(function: Callable[..., Tensor], fields: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of one number by each field, itself differentiable and open to every transform of `torch.func`."""
    value, back = torch.func.vjp(function, *fields)[:2]
    return back(torch.ones_like(value))


def _given(door: Door) -> Any:
    columns = tuple(c.reshape(door.batch) for c in door.lengths.unbind(-1))
    return (columns[0] if len(columns) == 1 else columns) if columns else None


def inner(door: Door, means: Any, values: Any, extra: int = 0) -> Tensor:
    """`<means, values>` over the event dims, for values `(*batch, *event, *extra)`, batch dims broadcasting.

    A part of mean 0 adds 0, whatever its value. Shape: `(*batch, *extra)`, with `extra` dims of their own.
    """
    terms = []
    for m, v, event in zip(door.unpack(means, "means"), door.unpack(values, "values"), door.events, strict=True):
        weight = m.reshape(*m.shape, *([1] * extra))
        part = torch.where(weight == 0, 0.0, weight * torch.where(weight == 0, 0.0, v))
        terms.append(part.sum(list(range(-len(event) - extra, -extra))) if event else part)
    return sum(terms[1:], terms[0])


def entropy(structure: Structure, log_potentials: Any, lengths: Any = None) -> Tensor:
    """Shannon entropy in nats `(*batch,)`, differentiable; 0 where no structure is feasible.

    `log Z - <marginals, log_potentials>`, in float64 inside. Cost: one forward and one backward pass.
    """
    phi = double(log_potentials)
    door = open_door(structure, phi, lengths)
    log_z, mean = total_and_means(door, LOG)
    return _entropy(door, log_z, mean).to(kind_of(log_potentials))


def _entropy(door: Door, log_z: Tensor, mean: Any) -> Tensor:
    own = inner(door, mean, door.pack(door.fields))
    return torch.where(log_z == -torch.inf, 0.0, log_z - own)


def kind_of(*log_potentials: Any) -> torch.dtype:
    """The dtype of answers about these potentials: float64 where a field of any is, else float32."""
    return common_dtype(f for phi in log_potentials for f in fields_of(phi))


def cross_entropy(structure: Structure, log_potentials: Any, other: Any, lengths: Any = None) -> Tensor:
    """`E_p[-log q]` in nats for p of `log_potentials` and q of `other`; `inf` where q forbids what p may use.

    `(*batch,)`, differentiable in both. Cost: two forward and one backward pass.
    """
    one, two = open_both(structure, log_potentials, other, lengths, "cross_entropy")
    mean = inner(one, means(one, LOG), two.pack(two.fields))
    return (_log_normaliser(two) - mean).to(kind_of(log_potentials, other))


def _log_normaliser(door: Door) -> Tensor:
    """Log Z, 0 where it is `-inf`: nothing is expected there, or a forbidden part makes the divergence infinite."""
    log_z = total(door, LOG)
    return torch.where(log_z == -torch.inf, 0.0, log_z)


def kl(structure: Structure, log_potentials: Any, other: Any, lengths: Any = None) -> Tensor:
    """Kullback-Leibler divergence of p (`log_potentials`) from q (`other`), `(*batch,)` in nats, differentiable.

    Cost: two forward and one backward pass.
    """
    one, two = open_both(structure, log_potentials, other, lengths, "kl")
    log_z, mean = total_and_means(one, LOG)
    cross = _log_normaliser(two) - inner(one, mean, two.pack(two.fields))
    return (cross - _entropy(one, log_z, mean)).to(kind_of(log_potentials, other))


def renyi_entropy(structure: Structure, log_potentials: Any, alpha: float, lengths: Any = None) -> Tensor:
    """Rényi entropy of order `alpha >= 0` in nats: `(log Z(alpha phi) - alpha log Z(phi)) / (1 - alpha)`.

    Order 1 is Shannon's, 0 the log of the number of structures, infinity minus the log of the largest probability.
    """
    if not alpha >= 0:
        raise ValueError(f"renyi_entropy needs alpha >= 0; got {alpha}")
    if alpha == 1:
        return entropy(structure, log_potentials, lengths)
    phi = double(log_potentials)
    door = open_door(structure, phi, lengths)
    log_z = total(door, LOG)
    if math.isinf(alpha):
        out = log_z - total(door, MAX)
    else:
        scaled = [torch.where(f == -torch.inf, f, alpha * torch.where(f == -torch.inf, 0.0, f)) for f in door.fields]
        out = (log_partition(structure, door.pack(scaled), lengths) - alpha * log_z) / (1 - alpha)
    return torch.where(log_z == -torch.inf, 0.0, out).to(kind_of(log_potentials))


def expectation(structure: Structure, log_potentials: Any, values: Any, lengths: Any = None) -> Tensor:
    """E of the additive function whose part values are `values`, differentiable in both: `(*batch, *extra)`.

    `values (*batch, *event)` per field, whose batch dims broadcast with those of the potentials; or, for several
    functions at once, `(*batch, *event, *extra)` with exactly as many batch dims as the potentials (size 1 where they
    are shared) and the same number of extra dims in every field. Values that fit the second form are read so; where
    they have more batch dims than the potentials, sizes alone decide: give the potentials batch dims of size 1 there.
    Cost: one forward and one backward pass.
    """
    door, extra = open_with_values(structure, log_potentials, lengths, values, "expectation: values")
    return inner(door, means(door, LOG), values, extra)


def covariance_vp(structure: Structure, log_potentials: Any, vector: Any, lengths: Any = None) -> Any:
    """The covariance of the event (the Hessian of log Z) times `vector`, shaped like the potentials.

    `vector` has their shapes, and batch dims that broadcast with theirs. Differentiable in `vector`, in which it is
    linear; a gradient in the potentials would be of third order and raises.
    Cost: a forward pass, then a forward and a backward pass of two channels.
    """
    return _covariance(*open_with_vector(structure, log_potentials, lengths, vector, "covariance_vp: vector"))


def _covariance(door: Door, vector: list[Tensor]) -> Any:
    finite = torch.compiler.is_compiling() or all(known_all(v.detach().isfinite()) for v in vector)
    whole = vector if finite else _where_used(door, vector)
    if door.structure.prepares or door.structure.offers("partition"):
        return door.pack(_curved_by_tape(door, whole))
    flat = [v.reshape(f.shape) for v, f in zip(whole, door.flat, strict=True)]
    return door.pack([door.shape(h) for h in curved(door, flat)])


def _where_used(door: Door, vector: list[Tensor]) -> list[Tensor]:
    """A vector without NaN and infinities at parts of mean 0; others are refused."""
    out = []
    for name, v, m in zip(door.structure.field_names, vector, door.unpack(means(door, LOG), "means"), strict=True):
        unused = m.detach() == 0
        refuse_where(~(v.detach().isfinite() | unused), f"{name} of the vector or values holds NaN or an infinity")
        out.append(torch.where(unused, 0.0, v))
    return out


def _curved_by_tape(door: Door, vector: list[Tensor]) -> Sequence[Tensor]:
    """The Hessian in the potentials, by differentiating the marginals; linear in `vector`, and differentiable so."""

    def weighted(*fields: Tensor) -> Tensor:
        mean = marginals(door.structure, door.pack(fields), _given(door))
        return inner(door, mean, door.pack(vector)).sum()

    return slopes_of(weighted, door.fields)


def variance(structure: Structure, log_potentials: Any, values: Any, lengths: Any = None) -> Tensor:
    """Variance of the additive function whose part values are `values`, `(*batch,)`: `<values, covariance values>`.

    `values` have the shapes of the potentials, and batch dims that broadcast with theirs.
    """
    door, whole = open_with_vector(structure, log_potentials, lengths, values, "variance: values")
    return inner(door, _covariance(door, whole), door.pack(whole))


def evaluate(structure: Structure, semiring: Semiring, log_potentials: Any, lengths: Any = None) -> Tensor:
    """What `semiring` reads in the program's total: any semiring, the user's own included.

    One with a reduction is differentiable twice without a tape; another is differentiated by autograd.
    """
    if not isinstance(semiring, Semiring):
        raise TypeError(f"evaluate needs a semiring, such as ss.LogSemiring(); got {type(semiring).__name__}")
    door = open_door(structure, log_potentials, lengths)
    if semiring.reduction is None:
        return generic_total(door, semiring)
    return program_total(door, unbound(semiring.reduction), seed_of(semiring)).to(door.fields[0].dtype)


def unbound(reduction: Reduction) -> Reduction:
    """Without its generator: a run is given a seed, and reductions are remembered for as long as the process lives."""
    bound = is_dataclass(reduction) and getattr(reduction, "generator", None) is not None
    return replace(reduction, generator=None) if bound else reduction  # type: ignore[call-arg]


def seed_of(semiring: Semiring) -> int:
    """One number from the semiring's generator, if it is a noisy one."""
    if semiring.reduction is None or not semiring.reduction.noisy:
        return 0
    generator = getattr(semiring, "generator", None)
    device = generator.device if generator is not None else "cpu"
    return int(torch.randint(2**62, (), generator=generator, device=device))
