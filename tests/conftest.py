"""Conditions every test runs under: one thread, seeded noise, poisoned memory, global state left as found."""

from __future__ import annotations

import gc
import os
import random
import zlib
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest
import torch

# tests speak to the machine that is the specification, but where they say otherwise; `SEMIRING_STRUCT_EXECUTOR=cpu`
# in the environment runs all of them on the compiled one
os.environ.setdefault("SEMIRING_STRUCT_EXECUTOR", "eager")
torch.set_num_threads(1)
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """A machine that cannot keep compiled code is no error of the library."""
    config.addinivalue_line("filterwarnings", "default::semiring_struct.errors.CacheWarning")


def pytest_collection_finish() -> None:
    """Modules and tests outlive the run: garbage collections, which several tests ask for, need not look at them."""
    gc.collect()
    gc.freeze()


def _state() -> tuple[object, ...]:
    """The process-wide switches that no function of a library may flip."""
    return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), torch.is_autocast_enabled("cpu")


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """A seed of the test's own, so that its draws depend neither on the order of tests nor on another's."""
    seed = zlib.crc32(request.node.nodeid.encode())
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002, reason: libraries used as oracles draw from the global state


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Uninitialised memory holds NaN, and an operation without a deterministic form raises."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Fails a test after which a global switch stands differently."""
    before, validate = _state(), torch.distributions.Distribution._validate_args
    yield
    # Constructing torch.compile flips this one by itself, so it is put back rather than checked.
    torch.distributions.Distribution.set_default_validate_args(validate)
    assert _state() == before, "default dtype, grad mode, threads or autocast changed"
