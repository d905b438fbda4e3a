"""The harness runs, its contenders agree, and its documents hold what it found. No test asserts a time."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

import semiring_struct as ss
from benchmarks import memory, overhead, report, scaling, session
from benchmarks.__main__ import main
from benchmarks.cases import FAMILIES, SUMS, Case, parse, queries
from benchmarks.contenders import OURS, PEERS, find
from benchmarks.timing import interleave, ratio

TINY = {
    "chain": "chain:2x4x3",
    "tagger": "tagger:2x4x3",
    "semi-markov": "semi-markov:2x5x3x2",
    "spans": "spans:2x5",
    "projective": "projective:2x4",
    "alignment": "alignment:2x3x4",
    "pcfg": "pcfg:2x4x2x3",
    "dtw": "dtw:2x3x4",
    "ctc": "ctc:2x6x2x3",
    "subset": "subset:2x5x2",
    "arborescence": "arborescence:2x4",
    "nussinov": "nussinov:2x5",
}
QUICK = session.Options(peers=PEERS, seconds=0.0, rounds=1)


def silent(_: str) -> None:
    """Takes the place of the terminal."""


@pytest.mark.parametrize("family", FAMILIES)
def test_contenders_agree(family: str):
    entries = session.run(parse(TINY[family]), QUICK, silent)
    assert [entry["query"] for entry in entries] == list(FAMILIES[family].queries)
    for entry in entries:
        assert OURS in entry["contenders"]
        for name, result in entry["contenders"].items():
            assert result["median_ms"] > 0, (entry["query"], name)
            assert result["agrees"] is not False, (entry["query"], name)


@pytest.mark.parametrize("family", ["chain", "semi-markov", "spans", "projective", "pcfg"])
def test_torch_struct_agrees_on_marginals(family: str):
    pytest.importorskip("torch_struct")
    entry, *_ = session.run(parse(TINY[family]), session.Options(("marginals",), PEERS, 0.0, 1), silent)
    assert entry["contenders"]["torch-struct"]["agrees"] is True


@pytest.mark.parametrize("query", ["loss", "labels"])
def test_pytorch_crf_agrees(query: str):
    pytest.importorskip("torchcrf")
    entry, *_ = session.run(parse(TINY["tagger"]), session.Options((query,), PEERS, 0.0, 1), silent)
    assert entry["contenders"]["pytorch-crf"]["agrees"] is True


@pytest.mark.parametrize("family, query", [("ctc", "loss"), ("arborescence", "marginals")])
def test_torch_agrees(family: str, query: str):
    entry, *_ = session.run(parse(TINY[family]), session.Options((query,), ("torch",), 0.0, 1), silent)
    assert entry["contenders"]["torch"]["agrees"] is True


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in ("subset", "nussinov")])
def test_synjax_agrees(family: str):
    if importlib.util.find_spec("synjax") is None:
        pytest.skip("SynJax is not installed")
    for entry in session.run(parse(TINY[family]), session.Options(SUMS, ("synjax",), 0.0, 1), silent):
        assert entry["contenders"]["synjax"]["agrees"] is True, entry["query"]


@pytest.mark.parametrize("family", ["subset", "dtw"])
def test_plain_code_agrees(family: str):
    for entry in session.run(parse(TINY[family]), session.Options(("log_partition", "marginals"), ("plain",), 0.0, 1)):
        assert entry["contenders"]["plain"]["agrees"] is True


def test_a_chain_and_its_double():
    assert Case("chain", (2, 4, 3)).grown("n", 2) == Case("chain", (2, 8, 3))
    assert scaling.slope([(1, 3.0), (2, 12.0), (4, 48.0)]) == pytest.approx(2.0)


def test_scaling_is_told_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plot = tmp_path / "growth.png"
    options = ["--cases", "chain:1x2x2,spans:1x2", "--queries", "log_partition", "--scale", "c", "--seconds", "0"]
    assert main([*options, "--rounds", "1", "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "spans:1x2 has no size c" in printed
    assert "| chain:1x2x2 | log_partition | semiring-struct | c = 2, 4, 8, 16 |" in printed
    assert plot.exists()


def test_disagreement_is_found():
    value = torch.tensor([1.0, 2.0])
    assert not session._agree(value, value + 0.1)
    assert not session._agree(value[:1], value[:1].expand(2))
    assert session._agree(value.double() + 1e-6, value)


def test_heavy_cases_are_left_out():
    pytest.importorskip("torch_struct")
    peer = find("torch-struct")
    assert peer.heavy(Case("chain", (8, 512, 64)), "marginals")
    assert peer.heavy(Case("chain", (32, 128, 32)), "marginals") is None


def test_rounds_turn_and_ratios_are_within_rounds():
    called: list[str] = []
    rounds = interleave({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 0.0, 2)
    assert {name: len(spent) for name, spent in rounds.items()} == {"a": 2, "b": 2}
    turns = [name for at, name in enumerate(called) if at == 0 or called[at - 1] != name]
    assert turns == ["a", "b", "a", "b", "a"]  # a call each to see how long they take, then a b, then b a
    assert ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_cases_are_named():
    assert [case.name for case in parse("chain")] == [f"chain:{'x'.join(map(str, s))}" for s in FAMILIES["chain"].sizes]
    assert parse("spans:2x5") == [Case("spans", (2, 5))]
    assert queries(Case("spans", (2, 5)), ["topk", "loss"]) == ["topk"]
    for wrong in ("chains", "spans:2", "spans:0x3", "spans:2xfour"):
        with pytest.raises(ValueError):
            parse(wrong)


def test_overhead_leaves_the_library_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SEMIRING_STRUCT_EXECUTOR", raising=False)
    rows = overhead.measure(parse(TINY["spans"])[0], ["marginals", "labels", "argmax"], calls=1)
    assert [row["query"] for row in rows] == ["marginals", "argmax"]
    assert all(0 < row["outside_ms"] < row["total_ms"] for row in rows)
    assert "stopwatch" not in str(ss.explain(ss.SpanTree(), torch.zeros(2, 3, 3), "marginals"))


def test_memory_is_measured_in_a_process_of_its_own():
    found = memory.measure(TINY["spans"], "marginals", OURS, 1)
    assert found["outputs_mb"] == found["inputs_mb"]
    assert found["call_mb"] >= 0
    assert "does not offer loss" in memory.measure(TINY["spans"], "loss", OURS, 1)["error"]


def test_command_writes_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, table, plot = (tmp_path / name for name in ("results.json", "results.md", "results.png"))
    options = ["--cases", TINY["spans"], "--queries", "marginals", "--against", "torch-struct", "--seconds", "0"]
    assert main([*options, "--out", str(out), "--table", str(table), "--plot", str(plot)]) == 0
    document = json.loads(out.read_text())
    assert document["conditions"]["threads"] == torch.get_num_threads()
    assert document["entries"][0]["contenders"][OURS]["agrees"] is True
    assert table.read_text() == report.markdown(document)
    assert f"| spans:2x5 | marginals | {OURS} |" in capsys.readouterr().out
