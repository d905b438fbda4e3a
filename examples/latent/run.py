"""What the runs share: the command line, a progress bar, a table, a figure."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # writes files on machines without a screen

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from tqdm import tqdm


@dataclass
class Outcome:
    """What one method reached: `scores` by name, and a learning curve of `(step, value)`."""

    method: str
    scores: dict[str, float]
    curve: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """The command line: the seed, where figures go, and the share of the steps to take."""

    seed: int
    output: Path
    share: float

    def steps(self, full: int) -> int:
        """`full` steps, or the share of them that a quick run takes."""
        return max(10, round(full * self.share))

    def few(self, full: int) -> int:
        """`full` repeats, or two in a quick run."""
        return full if self.share == 1 else min(full, 2)


def options(name: str, about: str, arguments: Sequence[str] | None) -> Options:
    """Reads the command line; tensors this small are fastest on one thread each."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.latent.{name}", description=about)
    parser.add_argument("--seed", type=int, default=0, help="draws the data, the first weights and the noise")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the table and the figure")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the steps: seconds, and low scores")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    # to compile each kind of query once takes longer than programs this small take in all
    os.environ.setdefault("SEMIRING_STRUCT_EXECUTOR", "eager")
    given.output.mkdir(parents=True, exist_ok=True)
    return Options(given.seed, given.output, 0.02 if given.quick else 1.0)


def train(
    label: str, steps: int, parameters: Sequence[torch.Tensor], rate: float, loss: Callable[[int], torch.Tensor],
    look: Callable[[], float], looks: int = 20,
) -> list[tuple[int, float]]:  # fmt: skip
    """Adam on `loss(step)` for some steps, with a look at a score now and then; returns the looks."""
    optimizer = torch.optim.Adam(list(parameters), rate)
    curve, every = [], max(1, steps // looks)
    with tqdm(range(1, steps + 1), desc=label) as bar:
        for step in bar:
            optimizer.zero_grad()
            loss(step).backward()
            optimizer.step()
            if step % every == 0 or step == steps:
                curve.append((step, look()))
                bar.set_postfix(score=f"{curve[-1][1]:.3f}")
    return curve


def table(outcomes: Sequence[Outcome]) -> str:
    """One line per method, scores in columns."""
    names = list(outcomes[0].scores)
    wide = max(len(o.method) for o in outcomes)
    head = " ".join([" " * wide, *(f"{n:>12}" for n in names)])
    rows = [" ".join([f"{o.method:<{wide}}", *(f"{o.scores[n]:>12.3f}" for n in names)]) for o in outcomes]
    return "\n".join([head, *rows])


def finish(
    name: str, title: str, outcomes: Sequence[Outcome], chosen: Options, began: float,
    draw: Callable[[Axes], None] | None = None,
) -> str:  # fmt: skip
    """Writes the table and the figure (learning curves, and `draw` beside them), prints the table, returns it."""
    text = f"{title}\n{table(outcomes)}\n{time.perf_counter() - began:.0f} s, seed {chosen.seed}"
    panels = 1 if draw is None else 2
    figure, axes = plt.subplots(1, panels, figsize=(6 * panels, 4.2), layout="constrained", squeeze=False)
    for outcome in outcomes:
        axes[0][0].plot(*zip(*outcome.curve, strict=True), label=outcome.method)
    axes[0][0].set(xlabel="step", title=title)
    axes[0][0].legend(fontsize=7)
    if draw is not None:
        draw(axes[0][1])
    figure.savefig(chosen.output / f"{name}.png", dpi=130)
    plt.close(figure)
    (chosen.output / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\nwritten: {chosen.output / name}.txt, .png")
    return text
