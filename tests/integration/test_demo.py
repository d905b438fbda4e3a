"""The demo: gold data against hand-made truth, then a shortened run of the whole command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from examples.python_source.closeup import look_at_line, look_at_parse
from examples.python_source.corpus import Corpus, SourceFile, read_corpus
from examples.python_source.parsing import parse_data, run_parsing
from examples.python_source.report import spelled
from examples.python_source.spans import follows, lines_of, spans_of
from examples.python_source.tagging import run_tagging, tag_data
from examples.python_source.trees import is_projective, parses_of

REPOSITORY = Path(__file__).resolve().parents[2]


def source(text: str) -> SourceFile:
    return SourceFile("made_up.py", text, ast.parse(text))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus(seed=0, train_files=12, test_files=4)


@pytest.mark.parametrize(
    "text, tags",
    [
        ("x = 12  # no", "N.P.Dd..Cccc"),
        ("    return f'{a}'", "Kkkkkk.Ssssss"),
        ("y != (None,)", "N.Pp.PKkkkPP"),
        ("s = b'a' 'b'", "N.P.Ssss.Sss"),
    ],
)
def test_tags_of_a_line(text: str, tags: str):
    body = f"if 1:\n{text}" if text.startswith(" ") else text
    lines, dropped = lines_of(SourceFile("made_up.py", f"{body}\n", ast.Module([], [])))
    assert spelled(lines[-1].tags) == tags
    assert dropped == 0


def test_lines_that_cannot_be_tagged_alone_are_counted():
    text = 'a = """one\ntwo\nthree""" + b\n\nc = ' + "d + " * 40 + "d\n"
    lines, dropped = lines_of(source(text))
    assert dropped == 3
    assert [line.text for line in lines] == ["c = " + "d + " * 18 + "d +"]


def test_stray_inside_tags_open_a_token():
    assert spans_of([0, 2, 2, 1, 2, 4]) == {(1, 3, "name"), (3, 5, "name"), (5, 6, "keyword")}


@pytest.mark.parametrize(
    "text, heads",
    [
        ("a + b * c", (2, 0, 4, 2, 4)),
        ("(a + b) * c", (3, 3, 6, 3, 3, 0, 6)),
        ("os.path.join(a, *b)", (3, 3, 5, 5, 0, 5, 5, 5, 5, 9, 5)),
        ("f(x for x in y)", (0, 1, 2, 2, 2, 2, 2, 2)),
        ("f((a), b=(c))", (0, 1, 4, 1, 4, 1, 1, 7, 10, 7, 10, 1)),
        ("a if b else c", (2, 0, 2, 2, 2)),
        ("x[1:, ::2]", (0, 1, 4, 5, 1, 5, 6, 6, 1)),
        ("not a in (b, c)", (0, 3, 1, 3, 4, 4, 4, 4)),
        ("x[*y]", (0, 1, 1, 3, 1)),
        ("{**a, 'é': b}.c", (10, 1, 1, 1, 1, 1, 1, 1, 10, 0)),
    ],
)
def test_gold_tree(text: str, heads: tuple[int, ...]):
    parses, refused = parses_of(source(f"{text}\n"))
    assert [parse.heads for parse in parses] == [heads]
    assert refused == 0


@pytest.mark.parametrize("heads", [(2, 1, 0), (0, 0), (3, 4, 0, 3), (0, 4, 1, 1)])
def test_cycles_second_roots_and_crossings_are_no_projective_trees(heads: tuple[int, ...]):
    assert not is_projective(heads)


def test_gold_data_is_sound(corpus: Corpus):
    assert not {file.name for file in corpus.train} & {file.name for file in corpus.test}
    tags, trees = tag_data(corpus, 10_000), parse_data(corpus, 10_000)
    for targets in (*tags.train.targets, *tags.test.targets):
        assert all(follows(a, b) for a, b in zip([0, *targets], targets))
    assert trees.refused == 0
    assert all(is_projective(tuple(heads)) for heads in trees.train.targets)
    learned = {line.text for file in corpus.train for line in lines_of(file)[0]}
    assert not learned.intersection(line.text for line in tags.test_lines)


def test_a_seed_fixes_the_outcome(corpus: Corpus):
    scores = [run_tagging(corpus, seed, steps=6, most_test=40).scores for seed in (3, 3, 4)]
    assert scores[0] == scores[1] != scores[2]
    scores = [run_parsing(corpus, seed, steps=6, most_test=40).scores for seed in (3, 3, 4)]
    assert scores[0] == scores[1] != scores[2]


def test_the_close_up_agrees_with_itself(corpus: Corpus):
    tagging = run_tagging(corpus, 0, steps=6, most_test=400)
    parsing = run_parsing(corpus, 0, steps=6, most_test=400)
    generator = torch.Generator().manual_seed(0)
    line, expression = look_at_line(tagging, generator).says, look_at_parse(parsing, generator).says
    for says in (line, expression):
        chances = [p for p, _ in says.best]
        assert says.best[0][1] == says.mode
        assert chances == sorted(chances, reverse=True) and sum(chances) <= 1
        assert len({tuple(labels) for _, labels in says.best}) == 4
        assert len(says.samples) == 5
    torch.testing.assert_close(line.marginals.sum(-1), torch.ones(len(line.mode)))
    torch.testing.assert_close(expression.marginals[:, 1:].sum(0), torch.ones(len(expression.mode) - 1))
    for _, tags in (*line.best, *line.samples):
        assert all(follows(a, b) for a, b in zip([0, *tags], tags))
    for _, heads in (*expression.best, *expression.samples):
        assert is_projective(tuple(heads[1:]))


def test_the_command(tmp_path: Path):
    command = [sys.executable, "-W", "error", "-m", "examples.python_source", "--quick", "--output", str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert "100%" in ran.stderr
    report = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert report.strip() in ran.stdout
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len(re.findall(r"best \d|sample \d", report)) == len(re.findall(r"top\d|smp\d", report)) == 9
    assert len(re.findall(r"entropy [\d.]+ nats", report)) == 2
    rows = {row.strip().split("  ")[0]: re.findall(r"\d\.\d{4}", row) for row in report.splitlines()}
    assert float(rows["LinearChainCRF"][-1]) > 0.5
    assert rows["ProjectiveDependencyCRF"][-1] == rows["... decoded as a tree"][-1] == "1.0000"
