"""Pages of `docs/reference/` are what the code says; `UPDATE_GOLDEN=1`, or `python -m reference`, writes them anew."""

from __future__ import annotations

import os

import pytest

from jobs.cli.main import commands as known_commands
from tests.docs.reference import commands, errors, metrics
from tests.docs.reference.pages import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    text = PAGES[name]()
    if os.environ.get("UPDATE_GOLDEN") == "1":
        (FOLDER / name).write_text(text)
    assert (FOLDER / name).read_text() == text, "if that is meant, UPDATE_GOLDEN=1 rewrites it"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", known_commands())
def test_every_argument_and_option_says_what_it_is(name: str) -> None:
    assert [each.name for each in commands.parameters(name) if not each.help] == []


def test_every_reason_of_a_dead_letter_is_told() -> None:
    assert errors.reasons() == set(errors.MEANINGS)


@pytest.mark.parametrize("job", metrics.MEANINGS)
def test_every_metric_is_told(job: str) -> None:
    assert metrics.registered(job) == set(metrics.MEANINGS[job])
