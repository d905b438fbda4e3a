"""The planted faults still fit the sources, the script can tell its verdicts apart, and the tests notice the faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import NOTICED, share, table, verdicts
from tests.faults.faults import FAULTS
from tests.faults.plant import ROOT, Copy, Fault, Verdict, judge, trouble

MASK = "semiring_struct/ops/mask.py"


def test_every_fault_can_be_planted():
    found = [reason for fault in FAULTS if (reason := trouble(fault)) is not None]
    assert not found, "\n".join(found)
    missing = {t for fault in FAULTS for t in fault.tests if t.startswith("tests/") and not (ROOT / t).exists()}
    assert not missing


def test_there_are_enough_in_every_room():
    assert len(FAULTS) >= 60
    assert len({(fault.name, fault.file) for fault in FAULTS}) == len(FAULTS)
    rooms = {fault.file.split("/")[1] for fault in FAULTS}
    assert rooms >= {"executors", "kernels", "programs", "ops", "inference", "structures"}
    assert sum(fault.compiled for fault in FAULTS) >= 20


@pytest.mark.parametrize(
    "code, said, what",
    [
        (0, "3 passed", "survived"),
        (1, "FAILED tests/ops/test_mask.py::test_round_trip - assert\n", "noticed"),
        (-11, "Fatal Python error: Segmentation fault", "noticed"),
        (2, "ERROR tests/ops/test_mask.py\n1 error during collection", "unsettled"),
        (4, "ImportError while loading conftest", "unsettled"),
        (5, "no tests ran", "unsettled"),
        (1, "", "unsettled"),
    ],
)
def test_verdicts(code: int, said: str, what: str):
    assert judge(code, said)[0] == what


def test_a_fault_is_planted_and_taken_out_again(tmp_path: Path):
    copy, tests = Copy(tmp_path), ("tests/ops/test_mask.py", "-k", "round_trip")
    text = (copy.root / MASK).read_text()
    faults = [
        Fault("wrong", MASK, "< lengths.unsqueeze(-1)", "<= lengths.unsqueeze(-1)", tests),
        Fault("harmless", MASK, "< lengths.unsqueeze(-1)", "< 1 * lengths.unsqueeze(-1)", tests),
        Fault("no module", MASK, "import torch\n", "import torch_\n", tests),
        Fault("gone", MASK, "no such text", "", tests),
    ]
    found = [copy.verdict(fault) for fault in faults]
    copy.close()
    assert [v.what for v in found] == ["noticed", "survived", "unsettled", "unsettled"]
    assert found[0].by.startswith("tests/ops/test_mask.py::test_round_trip")
    assert (copy.root / MASK).read_text() == text == (ROOT / MASK).read_text()


def test_the_table_names_what_was_not_noticed():
    one, other = FAULTS[:2]
    page = table([Verdict(one, "noticed", "tests/a.py::test_b", 1.0), Verdict(other, "survived", "", 2.0)])
    assert "1 of 2 are noticed (50.0 %)" in page and f"Not noticed: `{other.name}`" in page
    assert page.count("\n| ") == 2 + 2


@pytest.mark.faults
def test_the_tests_notice_planted_faults():
    found = verdicts(sorted(FAULTS, key=lambda fault: fault.compiled))
    assert share(found) >= NOTICED, table(found)
