"""How people are told things: durations, places, causes; and, over all sources, that nobody tells them otherwise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report.command import guarded
from schemas.errors import SettingError
from schemas.times import show_ms
from schemas.wording import beside, cause, near, quantity, sentence, span

ROOT = Path(__file__).parents[1]
UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
ASKS_AFTER = {
    "jobs/kafka/broker_fault.py",
    "inference/online/redis/refusals.py",
    "infra/flink_refusal.py",
    "schemas/registry.py",
    "infra/settings.py",
}
"""Where it may be told that a service does not run: the one function of each."""


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 s"),
        (250, "250 ms"),
        (34_999, "34 s 999 ms"),
        (34_000, "34 s"),
        (90_000, "1 min 30 s"),
        (3_601_000, "1 h"),
        (97_200_000, "1 d 3 h"),
        (-34_000, "-34 s"),
        (-574_000, "-9 min 34 s"),
        (86_400_000 * 365, "365 d"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(duration_ms: int, text: str) -> None:
    assert span(duration_ms) == text


def test_one_is_no_plural() -> None:
    assert [quantity(count, "record") for count in (0, 1, 2, 1_234)] == ["0 records", "1 record", "2 records", "1,234 records"]


@given(duration_ms=st.integers(-(10**15), 10**15))
def test_a_duration_is_cut_by_less_than_its_smallest_unit_and_keeps_its_sign(duration_ms: int) -> None:
    text = span(duration_ms)
    parts = re.findall(r"(\d+) (\w+)", text)
    told = sum(int(count) * UNIT_MS[unit] for count, unit in parts)
    assert 1 <= len(parts) <= 2 and re.fullmatch(r"-?\d+ \w+( \d+ \w+)?", text)
    assert told <= abs(duration_ms) and text.startswith("-") == (duration_ms < 0)
    following = dict(pairwise(UNIT_MS))
    assert (
        abs(duration_ms) - told < UNIT_MS[parts[-1][1] if len(parts) == 2 else following.get(parts[-1][1], "ms")]
        or duration_ms == 0
        or told > 0
    )
    assert beside("now", duration_ms).endswith("ahead of now" if duration_ms >= 0 else "behind now")


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (10**17, "100000000000000000 ms"),
        (-(2**63), "-9223372036854775808 ms"),
    ],
)
def test_every_moment_can_be_told(ms: int, text: str) -> None:
    assert show_ms(ms) == text


def test_paths_are_told_from_the_working_directory_and_urls_are_not_touched() -> None:
    text = "log: /a/b/c.log, '/a/b/d e', file:///a/b/f, http://h/a/b/g, /x/a/b/h, --home=/a/b/i, /a/bc, /a/b (log: /a/b/j)"
    assert near(text, Path("/a/b")) == ("log: c.log, 'd e', file:///a/b/f, http://h/a/b/g, /x/a/b/h, --home=i, /a/bc, /a/b (log: j)")
    assert near("/a/b", Path("/")) == "/a/b"


def test_every_error_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    def action() -> int:
        raise SettingError(f"{tmp_path}/model: no model here")

    assert guarded(action) == 2
    assert capsys.readouterr().err == "tidemark: model: no model here\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.", "Parquet magic bytes not found in footer"),
        ("java.lang.IllegalStateException: There is no operator for the state 7f.\n\tat org.x.Y(Z.java:1)", "java.lang.IllegalStateException: There is no operator for the state 7f"),
        ("Failed to parse:\n  unexpected end of file", "Failed to parse: unexpected end of file"),
        ("[LightGBM] [Fatal] Unknown model format or submodel type in model file /x/model.txt", "[LightGBM] [Fatal] Unknown model format or submodel type in model file /x/model.txt"),
        ("version 2.13.1 of x.jar e.g. is not 3.0", "version 2.13.1 of x.jar e.g. is not 3.0"),
        ("\n \n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_other_software_is_quoted_by_its_first_sentence_whole(text: str, told: str) -> None:
    assert sentence(text) == told


@given(words=st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=400))
def test_no_word_is_cut(words: list[str]) -> None:
    told = sentence(" ".join(words))
    assert set(told.removesuffix(" …").split()) <= set(words)


def test_a_cause_is_never_empty() -> None:
    assert cause(OSError(13, "Permission denied", "/x")) == "Permission denied"
    assert cause(OSError()) == "OSError"
    assert cause(ValueError("")) == "ValueError"


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("schemas", "features", "inference", "infra", "jobs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


@pytest.mark.slow
def test_only_one_function_for_each_service_says_that_it_does_not_run() -> None:
    """A refusal told as "is it running?" sends people to look for what is not broken."""
    blamed = re.compile(r"is it running|running\?|check that it runs|[Ss]tart it with `tidemark up`", re.ASCII)
    found = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and blamed.search(node.value)
    }
    assert found - {"jobs/cli/runtime.py"} == ASKS_AFTER  # `tidemark status` knows: it has looked at the process


@pytest.mark.slow
def test_no_message_tells_an_error_of_kafka_by_itself() -> None:
    """`KafkaError.str()` alone says neither whether the broker answered nor whose the fault is."""
    found = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "str" and not node.args
    }
    assert found == {"jobs/kafka/error_text.py"}


def test_no_message_cuts_a_text_or_shows_a_reason_that_may_be_none() -> None:
    found = [
        (name, ast.unparse(node.value))
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue)
        and (
            (isinstance(node.value, ast.Attribute) and node.value.attr == "strerror")
            or (
                isinstance(node.value, ast.Subscript)
                and isinstance(node.value.slice, ast.Slice)
                and node.value.slice.lower is None
                and re.search(r"fault|error|reason|cause|line|said|text|stack", ast.unparse(node.value))
            )
        )
    ]  # fmt: skip
    assert found == []


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told_by_the_path_that_was_given(tmp_path: Path) -> None:
    for arguments in (["--model", "models/none"], ["--model=models/none"]):
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli.main", "submit", "score", "flight_delay", *arguments],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("tidemark: models/none: no model here; ")
        assert len(done.stderr.splitlines()) == 1
