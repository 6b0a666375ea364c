"""Derived features: text that any process runs alike, and what cannot be one is refused with its reason."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.catalog import load
from features.vocabulary.derived import DerivedFeature, derived_feature
from schemas.errors import DefinitionError
from schemas.types import DataType

EVERY = Path(__file__).parents[1] / "every"
SCALE = 3.0


def ratio(part: Any, whole: Any) -> Any:
    """Documented."""
    # and commented
    return np.where(whole > 0, part / whole, np.nan)


def curve(part: Any, whole: Any) -> Any:
    return np.log1p(np.abs(part)) * math.pi + whole


def centred(part: Any) -> Any:
    return part - part.mean()


def total(part: Any) -> Any:
    return np.nansum(part)


def scaled(part: Any) -> Any:
    return part * SCALE


def hashing(part: Any) -> Any:
    return part + hash("a")


def broken(part: Any) -> Any:
    return part + "a"


def filled(part: Any) -> Any:
    part[np.isnan(part)] = 0.0
    return part


def importing(part: Any) -> Any:
    import random

    return part + random.random() * 0


def importing_within(part: Any) -> Any:
    def inner(x: Any) -> Any:
        from os import path

        return x * len(path.sep)

    return inner(part)


def importing_numpy(part: Any) -> Any:
    from numpy import log1p

    return log1p(np.abs(part))


def defaulted(part: Any, whole: Any = 1) -> Any:
    return part * whole


def read(function: Any) -> DerivedFeature:
    feature = derived_feature("f", function)
    assert isinstance(feature, DerivedFeature), feature
    return feature


def test_nulls_come_as_nan_and_what_is_not_finite_leaves_as_null() -> None:
    columns: dict[str, pa.Array[Any]] = {"part": pa.array([1, 3, None, 5, 0]), "whole": pa.array([2.0, 0.0, 1.0, None, 4.0])}
    assert read(ratio).evaluate(columns).to_pylist() == [0.5, None, None, None, 0.0]
    assert read(ratio).evaluate({name: column[:0] for name, column in columns.items()}).to_pylist() == []
    assert read(curve).evaluate({"part": pa.array([True]), "whole": pa.array([1])}).to_pylist() == [math.log1p(1) * math.pi + 1]


def test_numpy_may_be_imported_by_the_function_itself() -> None:
    assert read(importing_numpy).evaluate({"part": pa.array([1.0])}).to_pylist() == [np.log1p(1.0)]


def test_it_is_the_same_in_another_process_and_in_pieces() -> None:
    feature = pickle.loads(pickle.dumps(read(curve)))
    assert feature == read(curve)
    rng = np.random.default_rng(3)
    columns = {"part": pa.array(rng.normal(size=1_001)), "whole": pa.array(rng.normal(size=1_001))}
    whole = feature.evaluate(columns)
    pieces = [feature.evaluate({name: column[at : at + 7] for name, column in columns.items()}) for at in range(0, 1_001, 7)]
    assert pa.concat_arrays(pieces).equals(whole)


def test_its_text_is_its_version_and_comments_are_not() -> None:
    assert "ommented" not in read(ratio).source
    assert read(ratio).modules == (("np", "numpy"),)
    assert read(curve).modules == (("math", "math"), ("np", "numpy"))
    assert read(ratio).inputs == ("part", "whole")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (centred, "gives a row another value when other rows are beside it"),
        (total, "returned shape"),
        (scaled, 'uses "SCALE"; allowed are its parameters, numpy, math and plain builtins'),
        (hashing, 'uses "hash"'),
        (broken, "fails on a sample of doubles"),
        (filled, "fails on a sample of doubles, which it may not change: ValueError: assignment destination is read-only"),
        (importing, 'uses "random"; allowed are its parameters, numpy, math and plain builtins'),
        (importing_within, 'uses "os"; allowed are its parameters, numpy, math and plain builtins'),
        (defaulted, "takes other parameters than plain names"),
        (lambda part: part, "is a lambda; write a def"),
        (np.log, "must be a function of features, got ufunc"),
        ("part", "must be a function of features, got str"),
    ],
)
def test_what_cannot_be_one_is_refused(function: Any, reason: str) -> None:
    fault = derived_feature("f", function)
    assert isinstance(fault, str)
    assert reason in fault


def test_a_closure_is_refused() -> None:
    factor = 2.0

    def closed(part: Any) -> Any:
        return part * factor

    assert "uses factor of the function around it" in str(derived_feature("f", closed))


HEAD = """
import numpy as np
from features import Count, FeatureService, FeatureView, Last
from .sources import events, hour, minute, requests, user
v = FeatureView(entity=user, source=events, tile=minute, features={"n": Count().over(hour), "colour_last": Last("colour").over(hour)})
def twice(n):
    return 2 * n
def misspelt(nn):
    return nn
def of_text(colour_last):
    return colour_last
"""


def service(tmp_path: Path, derived: str) -> Any:
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "sources.py").write_text((EVERY / "definitions" / "sources.py").read_text())
    (folder / "s.py").write_text(f"{HEAD}s = FeatureService(request=requests, views=[v], derived={derived})\n")
    return load(folder, EVERY / "schemas").services["s"]


def test_a_service_has_it_behind_the_features_of_its_views_and_in_its_version(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = service(tmp_path / "a", '{"doubled": twice}')
    assert list(one.feature_types.items())[-1] == ("doubled", DataType.FLOAT64)
    assert one.fingerprint != service(tmp_path / "b", "{}").fingerprint


@pytest.mark.parametrize(
    ("derived", "line"),
    [
        ("[twice]", "s: derived must map names to functions, got list"),
        ('{"score": twice}', 's.score: "score" is reserved: served rows have a column of this name'),
        ('{"n": twice}', "s.n: another feature or a field of the request has this name; rename one"),
        ('{"d": misspelt}', 's.d: derived from "nn", which is no feature of the service; did you mean "n"?'),
        ('{"d": of_text}', 's.d: derived from "colour_last", which is string; allowed is boolean, float64, int64'),
        ('{"d": lambda n: n}', "s.d: the derived function is a lambda; write a def, whose text is kept and fingerprinted"),
    ],
)
def test_a_service_refuses(tmp_path: Path, derived: str, line: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        service(tmp_path, derived)
    assert [problem.rpartition(" (")[0] for problem in caught.value.problems] == [line]
