"""A structure that prepares its fields: CTC, written as a user would, against torch's own loss."""

import pytest
import torch

import semiring_struct as ss


class Ctc(ss.DynamicProgram):
    """Frames emit the targets, repeated or with blanks (0) between; equal neighbours need a blank."""

    event_dim = 2
    field_dim = (2, 1)

    def __init__(self, targets: torch.Tensor):
        self.targets = targets

    def prepare(self, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states = torch.zeros(*self.targets.shape[:-1], 2 * self.targets.shape[-1] + 1, dtype=torch.int64)
        states[..., 1::2] = self.targets
        seen = log_probs.gather(-1, states.unsqueeze(-2).expand(*log_probs.shape[:-1], -1))
        may_skip = torch.zeros_like(states, dtype=torch.bool)
        may_skip[..., 2:] = (states[..., 2:] != 0) & (states[..., 2:] != states[..., :-2])
        return seen, torch.where(may_skip, 0.0, -torch.inf).to(log_probs.dtype)

    def inside(self, p, seen, skip):
        frames, states = seen.shape
        alpha = p.chart(frames, states)
        alpha[0, :2] = seen[0, :2]
        for t in range(1, frames):
            alpha[t, 0] = alpha[t - 1, 0] * seen[t, 0]
            alpha[t, 1] = (alpha[t - 1, 1] + alpha[t - 1, 0]) * seen[t, 1]
            alpha[t, 2:] = (alpha[t - 1, 2:] + alpha[t - 1, 1:-1] + alpha[t - 1, :-2] * skip[2:]) * seen[t, 2:]
        return alpha[frames - 1, states - 1] + alpha[frames - 1, states - 2]


TARGETS = torch.tensor([[1, 2, 2], [3, 1, 2]])


def frames() -> torch.Tensor:
    return torch.randn(2, 8, 5, dtype=torch.float64).log_softmax(-1).requires_grad_()


def test_value_and_gradient_equal_the_loss():
    x = frames()
    mine = ss.log_partition(Ctc(TARGETS), x)
    sizes = torch.tensor([8, 8]), torch.tensor([3, 3])
    theirs = -torch.nn.functional.ctc_loss(x.transpose(0, 1), TARGETS, *sizes, reduction="none")
    torch.testing.assert_close(mine, theirs)
    # torch's gradient is that through a log-softmax: ours is the plain one, whose rows sum to 1
    (gradient,) = torch.autograd.grad(mine.sum(), x)
    torch.testing.assert_close(gradient, ss.marginals(Ctc(TARGETS), x))
    torch.testing.assert_close(gradient.sum(-1), torch.ones(2, 8, dtype=torch.float64))


def test_twice_differentiable():
    assert torch.autograd.gradgradcheck(lambda x: ss.log_partition(Ctc(TARGETS), x), (frames(),))


def test_events_are_in_the_potentials_space():
    structure, x = Ctc(TARGETS), frames().detach()
    for event in (ss.argmax(structure, x), ss.sample(structure, x, (3,))):
        assert event.shape[-3:] == x.shape
        assert bool((event.sum(-1) == 1).all())
        collapsed = [torch.unique_consecutive(row.argmax(-1)) for row in event.reshape(-1, 2, 8, 5)[:, 0]]
        assert all(row[row != 0].tolist() == [1, 2, 2] for row in collapsed)
    torch.testing.assert_close(ss.score(structure, x, ss.argmax(structure, x)), ss.max_score(structure, x))
    best = ss.topk(structure, x, 4)
    torch.testing.assert_close(ss.log_prob(structure, x, best.events), best.scores - ss.log_partition(structure, x))


def test_covariance_equals_the_hessian():
    structure, x = Ctc(TARGETS[:1]), frames()[:1].detach()
    v = torch.randn_like(x)
    total = lambda y: ss.log_partition(structure, y.reshape(x.shape)).sum()  # noqa: E731
    hessian = torch.autograd.functional.hessian(total, x.flatten())
    torch.testing.assert_close(ss.covariance_vp(structure, x, v).flatten(), hessian @ v.flatten())


def test_structures_with_tensors_of_one_shape_share_a_program():
    x = frames().detach()
    other = torch.tensor([[4, 4, 1], [1, 2, 3]])
    assert ss.program(Ctc(TARGETS), x) is ss.program(Ctc(other), x)
    sizes = torch.tensor([8, 8]), torch.tensor([3, 3])
    theirs = -torch.nn.functional.ctc_loss(x.transpose(0, 1), other, *sizes, reduction="none")
    torch.testing.assert_close(ss.log_partition(Ctc(other), x), theirs)


def test_a_program_that_reads_values_is_refused():
    class Masked(ss.DynamicProgram):
        event_dim = 1

        def __init__(self, allowed: torch.Tensor):
            self.allowed = allowed

        def inside(self, p, item):
            return sum((item[i] for i in range(len(item)) if self.allowed[i]), p.zero)

    with pytest.raises(ss.ProgramError, match="values of a tensor"):
        ss.log_partition(Masked(torch.tensor([True, False])), torch.zeros(2))


def test_prepared_fields_of_another_batch_are_refused():
    class Halved(ss.DynamicProgram):
        event_dim = 1

        def prepare(self, item):
            return item[:1]

        def inside(self, p, item):
            return item.sum()

    with pytest.raises(ss.ShapeError, match="field_dim"):
        ss.log_partition(Halved(), torch.zeros(2, 3))
