"""Semiring einsum: against torch.einsum in probability space, under several semirings, to second order."""

import pytest
import torch

import semiring_struct as ss

EQUATIONS = [
    ("ab,bc,ca->", [(3, 4), (4, 5), (5, 3)]),
    ("ab,bc->ca", [(3, 4), (4, 5)]),
    ("abc,bd,cd,a->d", [(2, 3, 4), (3, 2), (4, 2), (2,)]),
    ("aab->b", [(3, 3, 4)]),
    ("a,b->ab", [(3,), (4,)]),
    ("ab->", [(3, 4)]),
    ("abc->b", [(2, 1, 3)]),
]


def draw(shapes: list[tuple[int, ...]], lead: tuple[int, ...] = ()) -> list[torch.Tensor]:
    return [torch.randn(*lead, *s, dtype=torch.float64) for s in shapes]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
@pytest.mark.parametrize("lead", [(), (2,), (2, 1)])
def test_log_semiring_equals_einsum_of_weights(equation, shapes, lead):
    operands = draw(shapes, lead)
    operands[0].view(-1)[::3] = -torch.inf
    left, _, right = equation.partition("->")
    dotted = ",".join(f"...{x}" for x in left.split(",")) + f"->...{right}"
    expected = torch.einsum(dotted, *[x.exp() for x in operands]).log()
    torch.testing.assert_close(ss.einsum(equation, *operands), expected)


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_derivatives(equation, shapes):
    operands = [x.requires_grad_() for x in draw(shapes, (2,))]
    assert torch.autograd.gradcheck(lambda *xs: ss.einsum(equation, *xs), operands)
    assert torch.autograd.gradgradcheck(lambda *xs: ss.einsum(equation, *xs), operands)


def test_other_semirings():
    x, y = draw([(3, 4), (4, 5)])
    torch.testing.assert_close(
        ss.einsum("ab,bc->ac", x, y, semiring=ss.MaxSemiring()), (x[:, :, None] + y).amax(1)
    )
    x[0] = -torch.inf
    counts = ss.einsum("ab,bc->ac", x, y, semiring=ss.CountingSemiring())
    torch.testing.assert_close(counts, torch.tensor([0.0, 4.0, 4.0], dtype=torch.float64)[:, None].expand(3, 5))


def test_a_path_costs_less_than_the_whole_index_space():
    n = 8
    operands = [torch.zeros(n, n) for _ in range(4)]
    from semiring_struct.inference.einsum import _source
    from semiring_struct.programs import program_of

    ss.einsum("ab,bc,cd,de->ae", *operands)
    program = program_of(_source("ab,bc,cd,de->ae"), tuple((n, n) for _ in operands), ())
    assert program.cost.alternatives == 3 * n**3


def test_inside_a_program():
    class Triangle(ss.DynamicProgram):
        event_dim = (2, 2, 2)

        def inside(self, p, x, y, z):
            return p.einsum("ab,bc,ca->", x, y, z)

    fields = tuple(draw([(2, 3), (3, 2), (2, 2)], (2,)))
    torch.testing.assert_close(ss.log_partition(Triangle(), fields), ss.einsum("ab,bc,ca->", *fields))
    assert bool(ss.contains(Triangle(), fields, ss.argmax(Triangle(), fields)).all())


def test_refusals():
    x, y = draw([(3, 4), (5, 5)])
    with pytest.raises(ss.ProgramError, match="letter 'b' has sizes 4 and 5"):
        ss.einsum("ab,bc->ac", x, y)
    with pytest.raises(ss.ShapeError, match="one operand per input"):
        ss.einsum("ab,bc->ac", x)
    with pytest.raises(ss.ProgramError, match="output"):
        ss.einsum("ab->z", x)
    with pytest.raises(ss.ProgramError):
        ss.einsum("ab", x)
