"""`tidemark publish` and `tidemark read` without a broker: what the user is told."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import features.definitions
from jobs.cli.main import main
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from schemas.errors import DataError, ServiceError
from schemas.schema import SHIPPED, SchemaSet


@pytest.fixture
def departures(tmp_path: Path) -> Path:
    schema = SchemaSet.load(SHIPPED).current("departure").arrow
    row = {
        "flight_id": "f1",
        "event_time": 1_380_600_000_000,
        "carrier": "UA",
        "flight": 1,
        "tailnum": None,
        "origin": "JFK",
        "dest": "LAX",
        "distance": 1.0,
        "sched_dep": 1_380_600_000_000,
        "dep_delay": 0.0,
    }
    file = tmp_path / "departures.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=schema), file)
    return file


@pytest.fixture
def closed() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(arguments)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return code, lines[0]


def test_a_source_that_is_not_declared(capsys: pytest.CaptureFixture[str], departures: Path) -> None:
    assert told(capsys, "publish", "departure", str(departures)) == (
        2,
        'tidemark: publish: no source "departure"; did you mean "departures"?',
    )


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "publish", "departures", "/nowhere.parquet") == (
        2,
        "tidemark: publish: /nowhere.parquet does not exist; it is a Parquet file, or a folder of them",
    )


def test_a_file_that_is_not_parquet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    code, line = told(capsys, "publish", "departures", str(tmp_path / "x.parquet"))
    assert (code, line.startswith(f"tidemark: {tmp_path}/x.parquet: not a readable Parquet file: ")) == (4, True)


def test_columns_that_do_not_fit(capsys: pytest.CaptureFixture[str], departures: Path) -> None:
    code, line = told(capsys, "publish", "arrivals", str(departures))
    assert (code, line) == (4, f'tidemark: {departures}: column "arr_delay" is missing (did you mean "dep_delay"?)')


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf"])
def test_a_speed_that_is_none(capsys: pytest.CaptureFixture[str], departures: Path, speed: str) -> None:
    code, line = told(capsys, "publish", "departures", str(departures), f"--speed={speed}")
    assert code == 2 and "--speed" in line and "allowed: above 0" in line


@pytest.mark.slow
def test_a_broker_that_is_not_there(
    capsys: pytest.CaptureFixture[str], departures: Path, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA", closed)
    monkeypatch.setattr("jobs.kafka.admin._ANSWER_S", 1.0)  # only to wait less
    monkeypatch.setattr("jobs.kafka.consumer._ANSWER_S", 1.0)
    for arguments in (("publish", "departures", str(departures)), ("read", "departures")):
        code, line = told(capsys, *arguments)
        assert code == 3
        assert line.startswith(f"tidemark: kafka {closed}: no answer within") and "TIDEMARK_KAFKA" in line


def test_a_time_that_is_none(capsys: pytest.CaptureFixture[str], closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA", closed)
    code, line = told(capsys, "read", "departures", "--from", "yesterday")
    assert code == 2 and "'yesterday' is not a time; allowed:" in line


@pytest.mark.slow
def test_records_that_nobody_takes_are_reported(closed: str) -> None:
    schema = SchemaSet.load().current("closing")
    row = {"view": "v", "tile_end": 1, "tiles": 1}
    with (
        pytest.raises(ServiceError, match=rf"kafka {closed}: records for topic t were not delivered within 500 ms: .*; is it running"),
        Publisher(Connection(servers=closed), "t", schema, event_time="tile_end", deliver_within_s=0.5) as publisher,
    ):
        publisher.publish(pa.Table.from_pylist([row], schema=schema.arrow))
        publisher.flush()


def test_a_table_without_rows_is_nothing_to_do(closed: str) -> None:
    schema = SchemaSet.load().current("closing")
    with Publisher(Connection(servers=closed), "t", schema, event_time="tile_end") as publisher:
        assert publisher.publish(schema.arrow.empty_table(), speed=1.0) == 0
        with pytest.raises(DataError, match='column "view" is missing'):
            publisher.publish(pa.table({}))


def test_a_trusted_topic_takes_no_marker(
    capsys: pytest.CaptureFixture[str], departures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = tmp_path / "trusted"
    shutil.copytree(Path(features.definitions.__file__).parent, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    sources = definitions / "sources.py"
    sources.write_text(sources.read_text().replace('schema="departure",', 'schema="departure", trusted=True,'))
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(definitions))
    code, line = told(capsys, "publish", "departures", str(departures), "--marker")
    assert code == 2
    assert line == (
        'tidemark: publish: source "departures" is trusted, so its topic holds records alone and no --marker; a later record closes the last tiles'
    )


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (
            "",
            "2 of 3 event times are in January or February 1970, the first at 1970-01-16T23:30:00.000Z; were seconds given where milliseconds are "
            "declared? Source(earliest_event_time=…) sends such to the dead letters",
        ),
        (
            "earliest_event_time=datetime(2013, 1, 1, tzinfo=UTC),",
            "2 of 3 event times are before 2013-01-01T00:00:00.000Z, the earliest_event_time of departures, the first at 1970-01-16T23:30:00.000Z; "
            "were seconds given where milliseconds are declared? they go to the dead letters, topic departures.dlq",
        ),
        ("earliest_event_time=datetime(1970, 1, 1, tzinfo=UTC),", None),
    ],
)
def test_times_that_are_doubtful_are_told_once_before_they_are_published(
    capsys: pytest.CaptureFixture[str],
    departures: Path,
    closed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    declared: str,
    said: str | None,
) -> None:
    table = pq.read_table(departures)
    times = pa.array([1_380_600_000, 1_380_600_000_000, 1_380_600_001], pa.int64()).cast(table.schema.field("event_time").type)
    pq.write_table(pa.concat_tables([table] * 3).set_column(1, table.schema.field("event_time"), times), departures)
    definitions = tmp_path / "declared"
    shutil.copytree(Path(features.definitions.__file__).parent, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    sources = definitions / "sources.py"
    text = sources.read_text().replace('schema="departure",', f'schema="departure", {declared}')
    sources.write_text(text.replace("from datetime import timedelta", "from datetime import UTC, datetime, timedelta"))
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(definitions))
    monkeypatch.setenv("TIDEMARK_KAFKA", closed)
    monkeypatch.setattr("jobs.kafka.admin._ANSWER_S", 0.5)  # only to wait less
    assert main(["publish", "departures", str(departures)]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "event times" in line] == ([] if said is None else [f"publish: {departures}: {said}"])
