"""Losses of one target structure: likelihood, perceptron, margin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from semiring_struct.inference import log_prob
from semiring_struct.inference.decode import event_score
from semiring_struct.inference.door import open_door
from semiring_struct.inference.oracles import MAX
from semiring_struct.inference.partition import total
from semiring_struct.losses.target import with_target
from semiring_struct.structures import Structure


def nll(structure: Structure, log_potentials: Any, target: Any, lengths: Any = None) -> Tensor:
    """Negative log-likelihood in nats, `log Z - <target, phi>`: the conditional-random-field loss.

    `(*batch,)`, at least 0, `inf` for a target that uses a forbidden part. Its gradient is `marginals - target`.
    `target` is an event or labels.
    Bias: none.  Needs: log_partition.  Does not need: argmax.
    Source: Lafferty, McCallum & Pereira 2001, sec. 3 [lafferty2001].
    """
    return -log_prob(structure, log_potentials, target, lengths=lengths)


def perceptron(structure: Structure, log_potentials: Any, target: Any, lengths: Any = None) -> Tensor:
    """`max_z <z, phi> - <target, phi>`: the structured perceptron, 0 where the target is a best structure.

    `(*batch,)`. Its gradient is `argmax - target`.
    Bias: none; not smooth.  Needs: argmax.  Does not need: log_partition.
    Source: Collins 2002, sec. 2 [collins2002].
    """
    door, event = with_target(structure, log_potentials, target, lengths, "perceptron")
    return total(door, MAX) - event_score(door, event, "perceptron: target")


def hinge(structure: Structure, log_potentials: Any, target: Any, cost: Any = None, lengths: Any = None) -> Tensor:
    """Cost-augmented hinge, `max_z (<z, phi> + <z, cost>) - <target, phi + cost>`: a margin that grows with the cost.

    `cost` holds what each part of a wrong structure costs, shaped like the potentials; by default 1 for every part that
    the target does not use, so that the margin counts wrong parts. `(*batch,)`, at least 0; its gradient is the
    cost-augmented best structure less the target.
    Bias: none; not smooth.  Needs: argmax.  Does not need: log_partition.
    Source: Taskar, Guestrin & Koller 2003, sec. 2 [taskar2003]; Tsochantaridis et al. 2005, sec. 2.2
    [tsochantaridis2005].
    """
    door, event = with_target(structure, log_potentials, target, lengths, "hinge", cost)
    used = door.event(event, "hinge: target")
    given = [e == 0 for e in used] if cost is None else door.event(cost, "hinge: cost")
    raised = door.pack([f + c.to(f.dtype) for f, c in zip(door.fields, given, strict=True)])
    wrong = open_door(structure, raised, lengths)
    return torch.relu(total(wrong, MAX) - event_score(wrong, event, "hinge: target"))
