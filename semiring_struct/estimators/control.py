"""Control variates that are functions of the noise behind a draw: RELAX, and REBAR, which takes the relaxed cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from semiring_struct.errors import UnsupportedQueryError
from semiring_struct.estimators.cost import Cost, checked, evaluate
from semiring_struct.estimators.noise import noisy_choice
from semiring_struct.estimators.oracles import Distribution, check_count
from semiring_struct.estimators.surrogate import carried, carried_fields, slopes_at


def relax(
    distribution: Distribution,
    cost: Cost,
    critic: Callable[[Tensor], Tensor] | None = None,
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`E[cost]`, `(*batch,)`, with a learnt control variate on the utilities behind each draw.

    With utilities `u` that lead to the event, and `v` drawn from their law given the event, both reparameterised: the
    gradient is `(cost - critic(v)) grad log_prob + grad critic(u) - grad critic(v)`, averaged over draws.

    Args:
        distribution: one-of-k (`Categorical`, `OneHotCategorical`, `OneOf`) or independent bits (`Bernoulli`,
            `Independent` ones, `BitVector`).
        critic: `critic(utilities) -> (samples, *batch)` for utilities `(samples, *batch, parts)`: log-probabilities
            plus Gumbel noise, or logits plus logistic noise. Differentiable in them. None: no control variate.
        samples: draws per instance, 1 or more.

    Backward through the estimate gives the critic's parameters nothing; `squared_gradient` is what to minimise in them.

    Bias: none, whatever the critic. Needs: one of the distributions above, a critic. Does not need: a differentiable
    cost. Calls: one, of `samples` events. Source: Grathwohl et al. 2018, sec. 3 [grathwohl2018].
    """
    check_count(samples, 1, "relax: samples")
    choice = noisy_choice(distribution, "relax")
    utilities = choice.draw(samples, generator)
    events = choice.choice(utilities.detach())
    given = choice.given(utilities, generator)
    costs = evaluate(cost, events, distribution, "relax")
    return controlled(costs, distribution.log_prob(events), utilities, given, critic, "relax")


def rebar(
    distribution: Distribution,
    cost: Cost,
    temperature: float | Tensor = 0.5,
    scale: float | Tensor = 1.0,
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`relax` whose critic is `scale` times the cost of the relaxed event at `temperature`, `(*batch,)`.

    The relaxed event is the softmax of the utilities over the temperature, or for bits their sigmoid. Both settings may
    be tensors that require gradients and are fitted by `squared_gradient`.

    Bias: none. Needs: the distributions of `relax` (not indices), and a cost that is defined and differentiable
    between events. Calls: three, of `samples` events each. The cost's own parameters get the gradient of the
    discrete events' cost alone. Source: Tucker et al. 2017, sec. 3 [tucker2017].
    """
    choice = noisy_choice(distribution, "rebar")
    if not choice.relaxable:
        raise UnsupportedQueryError(
            "rebar evaluates the cost between events, and an index has nothing between; take OneHotCategorical, or "
            "relax, whose critic sees the utilities"
        )

    def critic(utilities: Tensor) -> Tensor:
        return scale * evaluate(cost, choice.relaxed(utilities, temperature), distribution, "rebar")

    return relax(distribution, cost, critic, samples, generator)


def controlled(
    costs: Tensor,
    log_probs: Tensor,
    utilities: Any,
    given: Any,
    critic: Callable[[Any], Tensor] | None,
    who: str,
) -> Tensor:
    """The mean of `costs (samples, *batch)`, carrying the gradient of RELAX for `critic` at two draws of the noise."""
    if critic is None:
        return (costs + carried(costs.detach().to(log_probs.dtype), log_probs)).mean(0)

    def value(fields: list[Tensor]) -> Tensor:
        return checked(critic(fields[0]), tuple(costs.shape), f"{who}: critic")

    lead = costs.dim()
    _, slope = slopes_at(value, utilities, who)
    at_given, slope_given = slopes_at(value, given, who)
    signal = (costs.detach() - at_given).to(log_probs.dtype)
    through = carried_fields(slope, utilities, lead) - carried_fields(slope_given, given, lead)
    return (costs + carried(signal, log_probs) + through).mean(0)


def squared_gradient(estimate: Tensor, parameters: Tensor | Sequence[Tensor]) -> Tensor:
    """The summed square of the gradient of an estimate in some parameters: one number, differentiable.

    Its expectation is the estimator's variance up to a constant, so its own gradient in a control variate's settings
    (a critic's parameters, REBAR's scale and temperature) fits those at no bias. Take that gradient for them alone:

        power = squared_gradient(estimate, log_potentials)
        power.backward(inputs=list(critic.parameters()), retain_graph=True)

    `parameters`: the tensor or tensors that the distribution is made of. For several instances the estimate is summed.
    Source: Grathwohl et al. 2018, sec. 3.1 [grathwohl2018].
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    grads = torch.autograd.grad(estimate.sum(), given, create_graph=True, materialize_grads=True)
    squares = [g.square().sum() for g in grads]
    return sum(squares[1:], squares[0])
