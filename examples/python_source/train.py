"""One training loop for every model, with a progress bar and a learning curve."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .data import Batch


@dataclass
class Curve:
    """What the figure draws: the held-out score after each of some steps; and the processor time of the steps alone."""

    steps: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0


def progress(items: Iterator[Batch], total: int, title: str) -> tqdm[Batch]:
    """A progress bar on stderr, drawn rarely where nobody watches it."""
    return tqdm(items, total=total, desc=f"{title:<34}", mininterval=0.2 if sys.stderr.isatty() else 10.0)


def fit(
    model: nn.Module,
    loss_of: Callable[[Batch], Tensor],
    batches: Iterator[Batch],
    steps: int,
    judge: Callable[[], float],
    title: str,
    rate: float = 4e-3,
    checkpoints: int = 6,
) -> Curve:
    """`steps` steps of Adam under a one-cycle rate; `judge` scores the model at `checkpoints` even moments."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    moments = {round(steps * (i + 1) / checkpoints) for i in range(checkpoints)}
    curve = Curve()
    bar = progress(batches, steps, title)
    for step in range(1, steps + 1):
        began = time.process_time()
        loss = loss_of(next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        curve.seconds += time.process_time() - began
        bar.update()
        if step in moments:
            curve.steps.append(step)
            curve.scores.append(judge())
            bar.set_postfix(loss=f"{loss.item():.3f}", held_out=f"{curve.scores[-1]:.4f}")
    bar.close()
    return curve
