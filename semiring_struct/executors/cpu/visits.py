"""What a thread does with the charts of a few instances as soon as they are filled, while they are still near."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Charts(NamedTuple):
    """Where charts of some instances lie: the address of the first, numbers from one instance and cell to the next.

    At address `picks`, unless it is 0, lies for every cell which alternative is its largest, int32, the first of tied
    ones, or -1 where that is not known.
    """

    address: int
    picks: int
    pitch: int
    apart: int


# handed the charts of instances `start .. end - 1`
Visit = Callable[[Charts, int, int], None]
# called by each thread, so that its visits have buffers of their own
Visitor = Callable[[], Visit]
# a forward pass that visits all instances, with picks if told so
Fill = Callable[[Visitor, bool], None]
