"""What estimators ask of a distribution, ours or torch's, and the refusal where it can not answer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Size, Tensor
from torch.distributions import Independent

from semiring_struct.errors import InfeasibleError, UnsupportedQueryError
from semiring_struct.inference.fields import fields_of, map_fields
from semiring_struct.ops import NEG_INF, gumbel, refuse_where

LIMIT = 10_000


class Distribution(Protocol):
    """What every estimator needs; torch's distributions have it, and so have those of this library."""

    @property
    def batch_shape(self) -> Size: ...

    def log_prob(self, value: Any) -> Tensor: ...

    def sample(self, sample_shape: Any = ...) -> Any: ...


class Listed(NamedTuple):
    """Events `(s, *batch, ...)` and their log-probabilities `(s, *batch)`, differentiable.

    Where an instance has fewer than the others, its first event stands in and `valid (s, *batch)` is False.
    """

    events: Any
    log_probs: Tensor
    valid: Tensor


def check_count(count: int, least: int, what: str) -> None:
    """Refuse a number of samples or events that is not an integer of at least `least`."""
    if not isinstance(count, int) or isinstance(count, bool) or count < least:
        raise ValueError(f"{what} must be an integer of at least {least}; got {count!r}")


def need(distribution: Any, name: str, who: str) -> Any:
    """An attribute of a distribution, or `UnsupportedQueryError` naming what is missing."""
    try:
        return getattr(distribution, name)
    except (AttributeError, NotImplementedError) as error:
        raise UnsupportedQueryError(
            f"{who} needs a distribution with `{name}`, which {name_of(distribution)} lacks"
        ) from error


def mode(distribution: Any, who: str) -> Any:
    """One most probable event; of an algorithm's traces, the greedy one."""
    if hasattr(distribution, "greedy"):
        return distribution.greedy()
    # torch's Bernoulli has mode NaN at probability one half, where either bit will do
    return map_fields(lambda e: e.nan_to_num(0.0), need(distribution, "mode", who))


def draw(distribution: Distribution, count: int, generator: torch.Generator | None) -> Any:
    """`count` independent draws `(count, *batch, ...)`, from `generator` alone where one is given."""
    with torch.no_grad():
        if generator is None:
            return distribution.sample((count,))
        if "generator" in inspect.signature(distribution.sample).parameters:
            return distribution.sample((count,), generator=generator)  # pyright: ignore[reportCallIssue]
        with _seeded_by(generator):
            return distribution.sample((count,))


@contextmanager
def _seeded_by(generator: torch.Generator) -> Iterator[None]:
    """torch's own distributions draw from the default generator: lend it a seed, and put it back as it was."""
    device = generator.device
    default = torch.default_generator if device.type == "cpu" else torch.cuda.default_generators[device.index or 0]
    before = default.get_state()
    default.manual_seed(int(torch.randint(2**62, (), generator=generator, device=device)))
    try:
        yield
    finally:
        default.set_state(before)


def listed(distribution: Any, who: str) -> Listed:
    """Every event of finite log-probability; for torch's distributions, the whole support.

    Raises `UnsupportedQueryError` where there is no enumeration, `ValueError` for more than `LIMIT` events,
    `InfeasibleError` for an instance without any.
    """
    if hasattr(distribution, "enumerate_traces"):
        found = distribution.enumerate_traces(LIMIT)
        return _with_stand_ins(distribution, found.traces, found.valid, who)
    if not hasattr(distribution, "enumerate_events"):
        events = _support(distribution, who)
        log_probs = distribution.log_prob(events)
        return Listed(events, log_probs, log_probs.detach() > NEG_INF)
    events = distribution.enumerate_events(LIMIT)
    rows = torch.arange(len(fields_of(events)[0]), device=fields_of(events)[0].device)
    number = distribution.count()
    return _with_stand_ins(distribution, events, rows.reshape(-1, *[1] * number.dim()) < number, who)


def best(distribution: Any, k: int, who: str) -> Listed:
    """The `k` most probable events, most probable first: by `topk`, or by listing a small support."""
    check_count(k, 1, f"{who}: k")
    if hasattr(distribution, "topk"):
        found = distribution.topk(k)
        return _with_stand_ins(distribution, found.events, found.valid, who)
    return _ranked(listed(distribution, who), k, lambda log_probs: log_probs)


def distinct(distribution: Any, k: int, generator: torch.Generator | None, who: str) -> Listed:
    """`k` draws without replacement, first drawn first."""
    check_count(k, 1, f"{who}: samples")
    if hasattr(distribution, "sample_without_replacement"):
        found = distribution.sample_without_replacement(k, generator=generator)
        return _with_stand_ins(distribution, found.events, found.valid, who)

    def perturbed(log_probs: Tensor) -> Tensor:
        noise = gumbel(log_probs.shape, generator=generator, dtype=torch.float64, device=log_probs.device)
        return log_probs.double() + noise

    return _ranked(listed(distribution, who), k, perturbed)


def tells_apart(distribution: Any) -> bool:
    """Whether different structures surely have different events: tied parts and counts may hide where a part stands."""
    structure: Any = getattr(distribution, "structure", None)
    if not hasattr(structure, "full_shapes"):
        return True
    shapes = [tuple(s) for s in fields_of(distribution.event_shape)]
    return structure.uses_parts_once and structure.full_shapes(shapes) == shapes


def at(events: Any, index: Tensor) -> Any:
    """The events `(j, *batch, ...)` at `index (j, *batch)` of events `(s, *batch, ...)`."""

    def one(field: Tensor) -> Tensor:
        wide = index.reshape(*index.shape, *[1] * (field.dim() - index.dim()))
        return field.gather(0, wide.expand(*index.shape, *field.shape[index.dim() :]))

    return map_fields(one, events)


def floating(events: Any, who: str) -> Any:
    """The events, if they can be relaxed: refuses indices, as torch's `Categorical` draws them."""
    if not all(f.is_floating_point() for f in fields_of(events)):
        raise UnsupportedQueryError(
            f"{who} evaluates the cost between events, so events must be floating point, not indices; "
            "take OneHotCategorical in place of Categorical"
        )
    return events


def _ranked(all_events: Listed, k: int, key: Any) -> Listed:
    """The `k` events of largest key; fewer where the support is smaller."""
    keys = key(all_events.log_probs.detach())
    index = keys.topk(min(k, len(keys)), 0).indices
    return Listed(
        at(all_events.events, index), all_events.log_probs.gather(0, index), all_events.valid.gather(0, index)
    )


def _with_stand_ins(distribution: Any, events: Any, valid: Tensor, who: str) -> Listed:
    """Replace what is no event by the instance's first one, so that neither cost nor `log_prob` meets a blank."""
    refuse_where(~valid.any(0), f"{who}: an instance has no event of finite log-probability", InfeasibleError)
    whole = map_fields(
        lambda e: torch.where(valid.reshape(*valid.shape, *[1] * (e.dim() - valid.dim())), e, e[:1]), events
    )
    return Listed(whole, distribution.log_prob(whole), valid)


def _support(distribution: Any, who: str) -> Any:
    """Every event of one of torch's distributions, `(s, *batch, ...)`."""
    if isinstance(distribution, Independent):
        return _product(distribution, who)
    try:
        return need(distribution, "enumerate_support", who)()
    except NotImplementedError as error:
        raise UnsupportedQueryError(f"{who} lists the support, which {name_of(distribution)} can not") from error


def _product(distribution: Independent, who: str) -> Tensor:
    """All combinations of the events of the independent parts."""
    each = _support(distribution.base_dist, who)
    inner, own = len(distribution.base_dist.batch_shape), distribution.reinterpreted_batch_ndims
    shape = distribution.base_dist.batch_shape[inner - own :]
    size, parts = each.shape[0], shape.numel()
    if size**parts > LIMIT:
        raise ValueError(f"{who}: {size}^{parts} events are more than {LIMIT}; take a method that samples")
    rest = each.shape[1 + inner :]
    flat = each.reshape(size, *distribution.batch_shape, parts, *rest)
    axes = [torch.arange(size, device=each.device)] * parts
    choice = torch.cartesian_prod(*axes).reshape(
        size**parts, *[1] * len(distribution.batch_shape), parts, *[1] * len(rest)
    )
    found = flat.gather(0, choice.expand(-1, *flat.shape[1:]))
    return found.reshape(size**parts, *distribution.batch_shape, *shape, *rest)


def name_of(distribution: Any) -> str:
    """How messages call a distribution."""
    inside = getattr(distribution, "structure", None) or getattr(distribution, "base_dist", None)
    return type(distribution).__name__ + (f" over {type(inside).__name__}" if inside is not None else "")
