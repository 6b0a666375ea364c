"""`tidemark parity` on a stream that runs: 0 when all is as it should be; then a tile is counted twice, and both comparisons find it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from features.plan import Plan
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.control.frontiers import wait_for
from jobs.kafka.admin import ensure
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from schemas.schema import SchemaSet
from tests import shop
from tests.e2e.command_line import tidemark
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

SPAN_MS = 20 * MINUTE


@dataclass(frozen=True, kw_only=True)
class River:
    """A shop of its own whose three jobs run."""

    settings: Settings
    plan: Plan
    folder: Path

    def parity(self, *arguments: object, code: int) -> tuple[dict[str, Any], str]:
        """Run the command; returns `parity.json` and what it printed."""
        out = self.folder / "report"
        said = tidemark(self.settings, "parity", *map(str, arguments), "--out", str(out), code=code)
        assert sorted(path.name for path in out.iterdir()) == ["parity.html", "parity.json"]
        return json.loads((out / "parity.json").read_text()), said

    def read(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the store says of one request."""
        reader = OnlineReader(self.plan.services["proof_buy"], connect(self.settings.redis_url))
        table = reader.read(pa.Table.from_pylist([request], schema=shop.schemas().current("offer").arrow)).table
        [row] = table.to_pylist()
        return dict(row)

    def publish(self, source: str, rows: list[dict[str, Any]], *, end: bool) -> None:
        target = self.plan.sources[source]
        schema = SchemaSet.load(self.settings.schemas or shop.SCHEMAS).current(target.schema)
        table = pa.Table.from_pylist(rows, schema=schema.arrow)
        with Publisher(
            Connection.of(self.settings), target.topic, schema, event_time="event_time", key=() if target.id is None else (target.id,)
        ) as publisher:
            publisher.publish(table)
            if end:
                publisher.marker(EndMarker.of(self.plan, target, newest_ms=NOON + SPAN_MS - 1).marker_ms, final=True)

    def wait_for_predictions(self, count: int) -> None:
        topic = self.plan.services["proof_buy"].predictions_topic
        eventually(f"{count} predictions", lambda: len(list(messages(Connection.of(self.settings), topic))) >= count)


@pytest.fixture(scope="module")
def river(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[River]:
    folder = tmp_path_factory.mktemp("proof")
    definitions = folder / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        text = re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"proof_\1", file.read_text())
        text = text.replace('"clicks_5m": Count()', '"clicks_ever": Lifetime(Count()),\n        "clicks_5m": Count()', 1)
        file.write_text(text.replace("import Count,", "import Count, Lifetime,"))
    own = replace(settings, definitions=definitions, schemas=shop.SCHEMAS, idle_timeout_ms=300_000, checkpoint_interval_ms=1_000)
    plan = load(own.definitions, own.schemas)
    ensure(own, plan)
    model = shop.train(folder / "model", plan.services["proof_buy"])
    with ExitStack() as running:
        for module, arguments in (("features", []), ("materialize", []), ("score", ["proof_buy", "--model", str(model)])):
            job = flink_submission.submit(f"jobs.{module}", arguments, name=f"{module}-proof", settings=own, fresh=True)
            running.callback(flink.Cluster(own.flink_url).cancel, job)
        yield River(settings=own, plan=plan, folder=folder)


def clicks() -> list[dict[str, Any]]:
    """Amounts that do not add up exactly, some clicks too late to count."""
    rng = random.Random(5)
    times = sorted(NOON + rng.randrange(SPAN_MS) for _ in range(400))
    return [
        {
            "event_time": at,
            "user": rng.choice(["ann", "bob"]),
            "shop": 7,
            "shelf": rng.choice(["top", "low"]),
            "amount": rng.uniform(0.1, 9.0),
        }
        for at in times
    ]


def offers(prefix: str, count: int) -> list[dict[str, Any]]:
    base = {"shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}
    last = NOON + SPAN_MS
    return [
        base | {"request_id": f"{prefix}{n:03}", "event_time": last - n * 5_000, "user": ["ann", "bob", "zoe"][n % 3]} for n in range(count)
    ]


def test_a_stream_is_proven_and_a_doubled_event_is_found(river: River) -> None:
    settings, user = river.settings, river.plan.views["proof_user_clicks"]
    river.publish("proof_clicks", clicks(), end=True)
    late = {"event_time": NOON + 5 * MINUTE, "user": "ann", "shop": 7, "shelf": "top", "amount": 5.0}
    frontiers = connect(settings.redis_url).frontiers()
    wait_for(lambda: frontiers.read(sorted(river.plan.views)), NOON + SPAN_MS, timeout_s=PATIENCE_S)
    river.publish("proof_clicks", [late], end=False)
    river.publish("proof_offers", offers("a", 120), end=False)
    river.wait_for_predictions(120)

    said, printed = river.parity("proof_buy", code=0)
    assert {name: said[name] for name in ("compared", "equal", "different", "missing", "extra", "stale", "allowed")} == {
        "compared": 960,
        "equal": 960,
        "different": 0,
        "missing": 0,
        "extra": 0,
        "stale": 0,
        "allowed": True,
    }
    assert "online equals history: 960 of 960 values" in printed
    said, _ = river.parity("proof_user_clicks", "--tiles", code=0)
    assert (said["allowed"], said["different"], said["missing"], said["extra"]) == (True, 0, 0, 0)
    assert said["tiles"] >= 20
    assert said["until"] == "2013-10-01T12:20:00Z"
    known, _ = river.parity("proof_user_clicks", "--tiles", "--as-known", code=1)  # the late click is in history, and was not served
    assert known["different_tiles"] == 1

    start = NOON + SPAN_MS - 3 * MINUTE
    own = [click["amount"] for click in clicks() if click["user"] == "ann" and start <= click["event_time"] < start + MINUTE]
    at = max(click["event_time"] for click in clicks() if click["user"] == "ann" and start <= click["event_time"] < start + MINUTE)
    last = next(click["amount"] for click in clicks() if click["event_time"] == at and click["user"] == "ann")
    doubled = shop.tile(
        user, start, user="ann", revision=1, count=len(own) + 1, sum_amount=sum(own) + own[0], last_amount=last, last_amount__at=at
    )
    with Publisher(Connection.of(settings), user.tiles_topic, shop.schemas().current("click"), event_time="event_time") as publisher:
        publisher.send(doubled, timestamp_ms=start + MINUTE, key="ann")
    ask = offers("x", 1)[0] | {"event_time": start + MINUTE + user.delay_ms}
    others = sum(click["user"] == "ann" and start - 4 * MINUTE <= click["event_time"] < start for click in clicks())
    eventually("the tile in the store", lambda: river.read(ask)["clicks_5m"] == others + len(own) + 1)
    river.publish("proof_offers", offers("b", 12), end=False)
    river.wait_for_predictions(132)

    said, printed = river.parity("proof_buy", code=1)
    wrong = {feature["name"]: feature for feature in said["features"] if feature["different"]}
    assert sorted(wrong) == ["clicks_5m", "clicks_ever", "spent_5m"]
    assert wrong["clicks_ever"]["examples"][0]["tiles"] == wrong["clicks_5m"]["examples"][0]["tiles"]
    assert said["predictions"] == 132
    example = wrong["clicks_5m"]["examples"][0]
    assert example["name"].startswith("b")
    assert example["online"] == example["history"] + 1
    (pair,) = example["tiles"]
    assert (pair["start"], pair["what"], example["key"]) == ("2013-10-01T12:17:00Z", "differs", {"user": "ann"})
    assert (pair["online"], pair["history"]) == ({"count": len(own) + 1}, {"count": len(own)})
    assert f"2013-10-01T12:17:00Z differs: online count={len(own) + 1} | history count={len(own)}" in printed
    said, _ = river.parity("proof_user_clicks", "--tiles", code=1)
    assert (said["different_tiles"], said["missing"], said["extra"]) == (1, 0, 0)
    assert {column["name"] for column in said["columns"] if column["different"]} == {"count", "sum_amount"}
    assert_page((river.folder / "report" / "parity.html").read_text())


def test_a_correction_makes_online_what_is_known(river: River) -> None:
    """The late click of the test before, counted by `tidemark correct` beside the running stream."""
    user = river.plan.views["proof_user_clicks"]
    # Of another shelf than the late click, whose view is not corrected.
    asked = offers("c", 1)[0] | {"user": "ann", "shelf": "low", "event_time": NOON + 6 * MINUTE + user.delay_ms}
    before = river.read(asked)["clicks_5m"]
    around = ("--from", str(NOON), "--until", str(asked["event_time"] + 1))
    tidemark(river.settings, "correct", user.name)
    eventually("the corrected tile in the store", lambda: river.read(asked)["clicks_5m"] == before + 1)
    river.publish("proof_offers", [asked], end=False)
    river.wait_for_predictions(133)

    said, _ = river.parity("proof_buy", *around, "--as-known", code=0)
    assert (said["compared"], said["equal"]) == (8, 8)
    said, _ = river.parity("proof_buy", *around, code=1)
    assert {feature["name"] for feature in said["features"] if feature["different"]} == {"clicks_5m", "clicks_ever", "spent_5m"}


def test_history_ahead_of_the_stream_is_there_at_once(river: River) -> None:
    """A bootstrap through the running job: windows that reach back behind the stream's first event are whole."""
    user, history = river.plan.views["proof_user_clicks"], river.folder / "history"
    rows: list[dict[str, Any]] = [
        {"event_time": NOON - n * 10_000, "user": "ann", "shop": 7, "shelf": "top", "amount": 0.1 * n} for n in range(1, 31)
    ]
    (history / "proof_clicks").mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=shop.schemas().current("click").arrow)
    pq.write_table(table, history / "proof_clicks" / "before.parquet")
    asked = offers("d", 1)[0] | {"user": "ann", "event_time": NOON + MINUTE + user.delay_ms}
    counts = ("clicks_5m", "shelf_clicks_5m")
    before = river.read(asked)
    tidemark(river.settings, "bootstrap", "--events", str(history))
    whole = {name: before[name] + sum(row["event_time"] >= NOON - 4 * MINUTE for row in rows) for name in counts}
    eventually("the tiles of history in the store", lambda: {name: river.read(asked)[name] for name in counts} == whole)
    river.publish("proof_offers", [asked], end=False)
    river.wait_for_predictions(134)

    shutil.copytree(river.settings.home / "archive" / "proof_clicks", history / "proof_clicks" / "archive")
    asks = ("--from", str(asked["event_time"]), "--until", str(asked["event_time"] + 1))
    said, _ = river.parity("proof_buy", *asks, "--events", history, code=0)
    assert (said["compared"], said["equal"]) == (8, 8)


def test_a_mistake_is_one_clear_line(river: River) -> None:
    for arguments, code, line in (
        (("proof_by",), 2, 'tidemark: no feature service is named "proof_by"; did you mean "proof_buy"?'),
        (
            ("proof_user_clicks",),
            2,
            'tidemark: parity: "proof_user_clicks" is a feature view; compare its tiles with --tiles, or name a feature service',
        ),
        (
            ("proof_user_click", "--tiles"),
            2,
            'tidemark: parity: no feature view is named "proof_user_click"; did you mean "proof_user_clicks"?',
        ),
        (
            ("proof_buy", "--from", "noon"),
            2,
            "tidemark: 'noon' is not a time; allowed: 2013-10-01T12:00Z, 2013-10-01, or milliseconds since the epoch",
        ),
        (
            ("proof_user_clicks", "--tiles", "--sample", "5"),
            2,
            "tidemark: parity: --predictions, --requests and --sample are about a service's predictions; --tiles compares all tiles of a view",
        ),
    ):
        command = [str(Path(sys.executable).parent / "tidemark"), "parity", *arguments, "--out", str(river.folder / "refused")]
        done = subprocess.run(
            command, env=os.environ | river.settings.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert (done.returncode, done.stderr.strip()) == (code, line)


class _Balanced(HTMLParser):
    """Fails on a tag that closes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """It closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_page(html: str) -> None:
    """One file that loads nothing and is well formed."""
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!#)[^"')\s>]+""", html.split("</style>")[1]) == []
    parser = _Balanced()
    parser.feed(html)
    assert parser.open == []
