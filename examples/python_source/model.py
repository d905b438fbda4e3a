"""Small networks that turn symbols into log-potentials."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import semiring_struct as ss

from .data import PAD
from .spans import NUM_TAGS, OUTSIDE, follows

FORBIDDEN = float("-inf")


class Encoder(nn.Module):
    """Symbols `(batch, n)` to features `(batch, n, size)`.

    Each convolution looks twice as far as the one before; a feature sees `2 * (2**layers - 1)` neighbours to each side.
    """

    def __init__(self, symbols: int, size: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(symbols, size, padding_idx=PAD)
        steps = [2**layer for layer in range(layers)]
        self.convolutions = nn.ModuleList(nn.Conv1d(size, size, 5, padding=2 * s, dilation=s) for s in steps)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in steps)

    def forward(self, symbols: Tensor) -> Tensor:
        real = (symbols != PAD).unsqueeze(-1)
        x = self.embedding(symbols)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            step = convolution(x.transpose(1, 2)).transpose(1, 2)
            x = norm(x + torch.relu(step)) * real  # padding stays zero, so a line's features do not see its batch
        return x


class Tagger(nn.Module):
    """A score for each tag of each character, and for each pair of neighbouring tags."""

    allowed: Tensor  # (from, to)

    def __init__(self, symbols: int, size: int = 48, layers: int = 4):
        super().__init__()
        self.encoder = Encoder(symbols, size, layers)
        self.emission = nn.Linear(size, NUM_TAGS)
        self.transition = nn.Parameter(torch.zeros(NUM_TAGS, NUM_TAGS))
        allowed = [[follows(a, b) for b in range(NUM_TAGS)] for a in range(NUM_TAGS)]
        self.register_buffer("allowed", torch.tensor(allowed), persistent=False)

    def forward(self, symbols: Tensor) -> Tensor:
        """`(batch, n)` to `(batch, n, tags)`: what the independent softmax uses."""
        return self.emission(self.encoder(symbols))

    def chain(self, symbols: Tensor) -> ss.ChainPotentials:
        """The scores as a chain whose transitions are tied over positions; tags that cannot follow are forbidden."""
        return chain_potentials(self(symbols), self.transition, self.allowed)


def chain_potentials(emission: Tensor, transition: Tensor, allowed: Tensor) -> ss.ChainPotentials:
    """Forbids what `allowed` (from, to) excludes, and at the start of a line what cannot follow a blank."""
    starts = torch.zeros(emission.shape[-2:], dtype=torch.bool)
    starts[0] = ~allowed[OUTSIDE]
    moves = torch.where(allowed, transition, FORBIDDEN)
    return ss.ChainPotentials(torch.where(starts, FORBIDDEN, emission), moves[None])


class Parser(nn.Module):
    """A score for each arc from a head to a dependent, by a biaffine form and the distance between them."""

    def __init__(self, symbols: int, size: int = 48, layers: int = 2, farthest: int = 8):
        super().__init__()
        self.encoder = Encoder(symbols, size, layers)
        self.root = nn.Parameter(torch.randn(size) / math.sqrt(size))
        self.as_head = nn.Linear(size, size)
        self.as_dependent = nn.Linear(size, size)
        self.form = nn.Parameter(torch.zeros(size + 1, size + 1))
        self.farthest = farthest
        self.distance = nn.Embedding(2 * farthest + 1, 1)

    def forward(self, symbols: Tensor) -> Tensor:
        """`(batch, words)` to `(batch, words + 1, words + 1)`, indexed [head, dependent]; node 0 is the root symbol."""
        words = self.encoder(symbols)
        nodes = torch.cat([self.root.expand(len(words), 1, -1), words], 1)
        heads = nn.functional.pad(torch.relu(self.as_head(nodes)), (0, 1), value=1.0)
        dependents = nn.functional.pad(torch.relu(self.as_dependent(nodes)), (0, 1), value=1.0)
        places = torch.arange(nodes.shape[1])
        apart = (places - places[:, None]).clamp(-self.farthest, self.farthest) + self.farthest
        return heads @ self.form @ dependents.mT + self.distance(apart).squeeze(-1)
