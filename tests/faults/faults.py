"""All faults."""

from __future__ import annotations

from tests.faults.compiled import COMPILED
from tests.faults.plain import PLAIN
from tests.faults.queries import LABEL_CODES, QUERIES
from tests.faults.rooms import DERIVATIVES, NUMERICS, TABLES, TREE_KERNELS

FAULTS = (*COMPILED, *PLAIN, *NUMERICS, *TABLES, *DERIVATIVES, *TREE_KERNELS, *LABEL_CODES, *QUERIES)
