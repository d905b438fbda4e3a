"""Algorithm traces: a batch in one call beside the same code on one instance after another.

    python -m benchmarks.traces --batch 128 --size 20 --out benchmarks/results/traces-cpu.md
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.conditions import conditions
from benchmarks.timing import interleave, ratio
from semiring_struct import traces
from semiring_struct.traces import AlgorithmTrace

ALGORITHMS: dict[str, Callable[[int], AlgorithmTrace]] = {
    "Kruskal": lambda size: traces.Kruskal(),
    "ChuLiuEdmonds": lambda size: traces.ChuLiuEdmonds(),
    "GreedyMatching": lambda size: traces.GreedyMatching(),
    "BinaryTree": lambda size: traces.BinaryTree(),
    "TopK": lambda size: traces.TopK(max(size // 4, 1)),
    "Ranking": lambda size: traces.Ranking(),
}
HEADER = "| algorithm | query | one call, ms | one by one, ms | times |\n| --- | --- | --- | --- | --- |"


def queries(algorithm: AlgorithmTrace, log_rates: Tensor) -> dict[str, tuple[Callable, Callable]]:
    """By query, the call on the whole batch and the loop over its instances."""
    trace = algorithm.sample(log_rates)
    instances = list(zip(log_rates, trace, strict=True))

    def score(x: Tensor, t: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(algorithm.log_prob(t, x).sum(), x)[0]

    return {
        "sample": (lambda: algorithm.sample(log_rates), lambda: [algorithm.sample(x) for x in log_rates]),
        "event": (lambda: algorithm.event(trace), lambda: [algorithm.event(t) for t in trace]),
        "log_prob": (
            lambda: algorithm.log_prob(trace, log_rates),
            lambda: [algorithm.log_prob(t, x) for x, t in instances],
        ),
        "log_prob, gradient": (lambda: score(log_rates, trace), lambda: [score(x, t) for x, t in instances]),
        "conditional_noise": (
            lambda: algorithm.conditional_noise(trace, log_rates),
            lambda: [algorithm.conditional_noise(t, x) for x, t in instances],
        ),
    }


def measure(name: str, batch: int, size: int, rounds: int) -> list[str]:
    """One row of the table for each query: medians over rounds, and the median of the ratio within a round."""
    algorithm = ALGORITHMS[name](size)
    generator = torch.Generator().manual_seed(0)
    log_rates = torch.randn(batch, *[size] * algorithm.rates_dim, generator=generator)
    rows = []
    for query, (together, apart) in queries(algorithm, log_rates).items():
        times = interleave({"together": together, "apart": apart}, 0.0, rounds)
        ours, loop = (1e3 * statistics.median(times[who]) for who in ("together", "apart"))
        rows.append(f"| {name} | {query} | {ours:.1f} | {loop:.1f} | {ratio(times['apart'], times['together']):.1f} |")
    return rows


def report(batch: int, size: int, rounds: int) -> str:
    """The table as a document, with its conditions."""
    found = conditions()
    versions = found["versions"]
    lines = [
        f"# Algorithm traces: {batch} instances of size {size}, in one call and one by one",
        "",
        f"```\npython -m benchmarks.traces --batch {batch} --size {size} --rounds {rounds}\n```",
        "",
        f"{found['processor']}, {found['cores']} cores, {found['threads']} threads used, load {found['load_average']},",
        f"{found['system']}, Python {found['python']}, torch {versions['torch']}, {found['date']}.",
        "Log-rates are standard normal, float32. `times` is the median over rounds of the ratio within a round.",
        "",
        HEADER,
    ]
    for name in ALGORITHMS:
        lines += measure(name, batch, size, rounds)
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    text = report(options.batch, options.size, options.rounds)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
