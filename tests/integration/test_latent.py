"""The training runs with latent structure: their data against other makers of it, then each command, cut short."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest
import torch

from examples.latent.bit_vae import BITS, LEVELS, PIXELS, Model
from examples.latent.graph_layout import layouts, moved
from examples.latent.listops import CLOSE, grow

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_frame_is_one_iteration_of_a_spring_layout():
    generator = torch.Generator().manual_seed(0)
    tree = layouts(1, generator).edges[0]
    graph = nx.from_numpy_array(tree.numpy())
    assert nx.is_tree(graph)
    start = torch.randn(len(tree), 2, generator=generator, dtype=torch.float64)
    want = nx.spring_layout(graph, pos=dict(enumerate(start.numpy())), iterations=1, threshold=1e-10, method="force")
    got = moved(start[None], tree.double()[None])[0]
    torch.testing.assert_close(got, torch.stack([torch.as_tensor(want[v]) for v in graph]), rtol=1e-9, atol=1e-9)


def test_an_expression_has_the_value_that_reading_it_gives():
    def read(tokens: list[int], at: int) -> tuple[int, int]:
        """The value of what starts at a token, and the place after it."""
        if tokens[at] < 10:
            return tokens[at], at + 1
        values, after = [], at + 1
        while tokens[after] != CLOSE:
            value, after = read(tokens, after)
            values.append(value)
        values.sort()
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) // 2
        return (values[0], values[-1], middle)[tokens[at] - 10], after + 1

    source = random.Random(0)
    for _ in range(200):
        one = grow(3, -1, 0, source)
        assert read(list(one.tokens), 0) == (one.value, len(one.tokens))
        opened: list[int] = []
        for place, token in enumerate(one.tokens):
            assert one.heads[place] == (opened[-1] if opened else -1)
            opened = opened[:-1] if token == CLOSE else opened + [place] * (token >= 10)


def test_the_likelihood_of_an_image_is_the_mean_over_all_codes():
    torch.manual_seed(0)
    model = Model(torch.full((PIXELS,), LEVELS / 2))
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * BITS)
    images = torch.randint(LEVELS + 1, (3, PIXELS)).float()
    with torch.no_grad():
        law = torch.distributions.Binomial(LEVELS, logits=model.decoder(codes)[:, None])
        each = law.log_prob(images).sum(-1)
        total = each.double().exp().mean(0).log().float()
        torch.testing.assert_close(model.likelihood(images), total, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(model.cost(images)(codes[:, None].expand(-1, 3, -1)), -each, rtol=1e-4, atol=1e-3)


COMMANDS = ("game", "bit_vae", "graph_layout", "listops")

# as `python -m` runs each, one after the other: most of a short run is the import of torch
SEVERAL = """
import runpy, sys
folder, *names = sys.argv[1:]
for name in names:
    sys.argv = [name, "--quick", "--output", folder]
    try:
        runpy.run_module(f"examples.latent.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert end.code == 0, (name, end.code)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder that all commands wrote to, and what they printed."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-W", "error", "-c", SEVERAL, str(folder), *COMMANDS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command(name: str, ran: tuple[Path, str, str]):
    folder, out, err = ran
    table = (folder / f"{name}.txt").read_text(encoding="utf-8")
    assert table.strip() in out
    assert len(re.findall(r"\d\.\d{3}", table)) >= 9
    assert "nan" not in table
    methods = [re.split(r"\s{2,}", line)[0] for line in table.splitlines()[2:-1]]
    assert len(methods) >= 3
    for method in methods:
        assert re.search(rf"{re.escape(method)}[^%]*: 100%", err), method
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
