"""What docs/contributing/add-an-aggregation.md says is so: the class that it quotes is there, and the file that it gives works."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from features.compiler import flink_tiles
from features.compiler.spark import tile_query
from features.vocabulary.aggregation import Aggregation
from features.vocabulary.aggregations import ALL, found_in
from tests.features.vocabulary.every_aggregation import every
from tests.features.vocabulary.test_every_aggregation import (
    test_an_aggregation_makes_of_its_examples_what_they_say as hold_to_examples,
)
from tests.features.vocabulary.test_every_aggregation import (
    test_events_merge_to_the_same_however_they_are_split as hold_to_merging,
)

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/contributing/add-an-aggregation.md").read_text()
QUOTED, FILE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_what_is_quoted_is_there() -> None:
    source = (ROOT / "features/vocabulary/aggregations/extremes.py").read_text()
    assert QUOTED.strip() in source


def test_a_file_is_all_that_a_new_aggregation_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("range_of_the_guide")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(FILE, "range.py", "exec"), vars(module))
    found = found_in(module)
    assert [(each.__name__, issubclass(each, Aggregation)) for each in found] == [("Range", True)]
    (each,) = found
    assert isinstance(ALL, dict)
    monkeypatch.setitem(ALL, "Range", each)
    for example in each.examples:
        hold_to_examples("Range", example, 1)
    hold_to_merging(0)
    assert "MIN(`_in" in flink_tiles.tile_query(every())
    assert "ends_x__low" in tile_query(every(), as_known=True)
