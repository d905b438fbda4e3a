"""What a thread does with the charts of a few instances as soon as they are filled, while they are still near."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Charts(NamedTuple):
    """Where charts of some instances lie: the address of the first, numbers from one instance and cell to the next."""

    address: int
    pitch: int
    apart: int


# handed the charts of instances `start .. end - 1`
Visit = Callable[[Charts, int, int], None]
# called by each thread, so that its visits have buffers of their own
Visitor = Callable[[], Visit]
# a forward pass that visits all instances
Fill = Callable[[Visitor], None]
