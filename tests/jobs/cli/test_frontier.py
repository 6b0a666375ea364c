"""Times as users write them, and waiting for a frontier."""

from __future__ import annotations

import pytest

from inference.online.frontier import Completeness
from jobs.cli.frontier import _table
from jobs.cli.main import main
from jobs.control.frontiers import wait_for
from schemas.errors import ServiceError, SettingError
from schemas.times import instant_ms
from tests import shop


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-10-01T12:00Z", 1_380_628_800_000),
        ("2013-10-01T12:00:00.001+00:00", 1_380_628_800_001),
        ("2013-10-01T08:00-04:00", 1_380_628_800_000),
        ("2013-10-01", 1_380_585_600_000),
        ("1969-12-31T23:59:59.999", -1),
        ("1380628800000", 1_380_628_800_000),
        ("-1", -1),
    ],
)
def test_a_time_is_read(text: str, expected: int) -> None:
    assert instant_ms(text) == expected


@pytest.mark.parametrize("text", ["soon", "", "2013-13-01", "12:00", "99999999999999999999", "--1", "2013"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="is not a time; allowed: "):
        instant_ms(text)


def test_it_waits_until_every_view_is_there() -> None:
    readings: list[dict[str, int | None]] = [{"a": None, "b": 5}, {"a": 7, "b": 5}, {"a": 7, "b": 6}]
    assert wait_for(lambda: readings.pop(0), 6, timeout_s=900) == {"a": 7, "b": 6}
    assert readings == []


def test_a_frontier_that_does_not_come_is_named() -> None:
    with pytest.raises(
        ServiceError, match=r"not at 1970-01-01T00:00:00.006Z after 100 ms: b is at nothing yet, c is at 1970-01-01T00:00:00.005Z"
    ):
        wait_for(lambda: {"a": 7, "b": None, "c": 5}, 6, timeout_s=0.1)


def test_a_frontier_ahead_of_the_clock_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.cli.frontier.now_ms", lambda: 1_000_000)
    table = _table(
        {name: Completeness(frontier_ms=ms, since_ms=None) for name, ms in (("ahead", 1_034_000), ("behind", 910_000), ("none", None))}
    )
    assert list(table.columns[3].cells) == ["34 s ahead of it", "1 min 30 s", ""]


def test_an_unknown_view_is_one_clear_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(shop.DEFINITIONS))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(shop.SCHEMAS))
    assert main(["frontier", "user_click"]) == 2
    assert capsys.readouterr().err == 'tidemark: frontier: no feature view is named "user_click"; did you mean "user_clicks"?\n'
