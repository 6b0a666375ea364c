"""What one run of the demo is about: where, how many days, and how its commands are named, run and shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from features.catalog import load
from features.plan import Plan, ServicePlan
from infra.settings import Settings
from jobs.demo.processes import Task, run
from jobs.demo.steps import Steps
from schemas.errors import SettingError
from schemas.times import instant_ms

SERVICE = "flight_delay"
DAY_MS = 24 * 3_600_000
TRAIN_EARLIEST, TRAIN_LATEST = (int(datetime(2013, *day, tzinfo=UTC).timestamp() * 1000) for day in ((1, 1), (8, 31)))
OCTOBER_MS = int(datetime(2013, 10, 1, tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One run.

    Attributes:
        days: Of October to replay.
        train_from: The first day to train on, e.g. 2013-01-01.
        disorder: Publish events out of order, by as much as their sources allow.
        settings: Where; the embedded runtime of this home, the shipped definitions.
        plan: The shipped definitions.
        stages: Where progress is shown.
    """

    days: int
    train_from: str
    disorder: bool
    settings: Settings
    plan: Plan
    stages: Steps

    @property
    def service(self) -> ServicePlan:
        """The example's feature service."""
        return self.plan.services[SERVICE]

    @property
    def folder(self) -> Path:
        """What the demo leaves."""
        return self.settings.home / "demo"

    @property
    def dead_letter_topics(self) -> tuple[str, ...]:
        """Where refused events and requests go."""
        sources = [*(view.source for view in self.service.views), self.service.request]
        return tuple(dict.fromkeys(source.dead_letter_topic for source in sources))

    @property
    def end_ms(self) -> int:
        """The end of the last day."""
        return OCTOBER_MS + self.days * DAY_MS

    def task(self, name: str, *arguments: object) -> Task:
        """A command of ours, with a log named after it."""
        words = tuple(map(str, arguments))
        return Task(name=name, arguments=words, log=self.settings.home / "logs" / f"demo-{name.replace(' ', '-')}.log")

    def run(self, *lanes: Sequence[Task]) -> None:
        """Run lanes of commands side by side, and show them. Raises ServiceError when one fails."""
        run(
            lanes,
            self.settings,
            began=lambda task: self.stages.began(task.name),
            ended=lambda task, seconds: self.stages.ended(task.name, seconds),
        )


def prepare(days: int, train_from: str, stages: Steps, *, disorder: bool) -> Demo:
    """A run in the home of the settings, whatever services and definitions they name.

    A replay is silent between its steps and marks the time of every partition itself: none of them is idle.

    Args:
        days: Of October to replay.
        train_from: The first day to train on; the model is trained up to October.
        stages: Where progress is shown.
        disorder: Publish events out of order.

    Raises:
        SettingError: A setting is wrong, or the day is not one that leaves enough to train on.
    """
    if not TRAIN_EARLIEST <= instant_ms(train_from) <= TRAIN_LATEST:
        raise SettingError(f"--train-from: {train_from} is not a day to train from; allowed: 2013-01-01 to 2013-08-31")
    settings = dataclasses.replace(
        Settings.load(),
        kafka=None,
        redis=None,
        flink=None,
        registry=None,
        definitions=None,
        schemas=None,
        parallelism=1,
        idle_timeout_ms=DAY_MS,
        checkpoint_interval_ms=5_000,
    )
    return Demo(days=days, train_from=train_from, disorder=disorder, settings=settings, plan=load(None, None), stages=stages)
