"""What a million events a second would take: the arithmetic, with measures that one can follow by hand."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import sizing
from benchmarks.live import inputs
from features.tiles.codec import TileCodec

MEASURED = sizing.Measured(
    event_s=7e-6, view_s=3.5e-6, serial_s=7e-6, open_tile_bytes=2**30 / 65e6, tile_s=14e-6, request_s=70e-6, key_bytes=900.0
)


def cells(measured: sizing.Measured) -> dict[str, str]:
    """Part → what is needed."""
    rows = [line.strip("| ").split(" | ") for line in sizing.markdown(measured).splitlines() if line.startswith("| ")]
    return {row[0]: row[2] for row in rows}


def test_cores_are_what_events_and_requests_cost_and_three_tenths_stay_free() -> None:
    found = cells(MEASURED)
    assert found["`features`: cores, and so slots"] == "10 for one view, 5 more for each further one"
    assert found["`features`: the order of a source"].startswith("**10 sources**")
    assert found["`materialize`: cores, the store's among them"].startswith("20, ")
    assert found["`score`: slots, for 100,000 requests/s"].startswith("10; ")


def test_key_groups_are_a_power_of_two_with_room_to_grow() -> None:
    assert cells(MEASURED)["Flink key groups (`pipeline.max-parallelism`)"].startswith("64: ")
    assert cells(replace(MEASURED, event_s=11.2e-6))["Flink key groups (`pipeline.max-parallelism`)"].startswith("64: ")
    assert cells(replace(MEASURED, event_s=11.9e-6))["Flink key groups (`pipeline.max-parallelism`)"].startswith("128: ")


def test_state_is_of_the_tiles_that_are_open_at_once() -> None:
    assert cells(MEASURED)["`features`: state"] == "1 GiB of heap over all TaskManagers for 65 million open tiles"


def test_a_key_holds_as_many_tiles_as_it_has_events_in_the_window() -> None:
    assert cells(MEASURED)["store: memory"] == "989 GiB: **16 Valkeys** of 64 GiB, with 3.6 tiles a key"  # 900 B and 3.6 × 45 B


def test_slices_are_what_memory_writes_and_the_order_of_a_source_ask_for() -> None:
    assert "16 slices of the keys" in sizing.markdown(MEASURED)  # of memory
    assert "20 slices of the keys" in sizing.markdown(replace(MEASURED, tile_s=27.9e-6))  # a writer and its store on two cores
    assert "30 slices of the keys" in sizing.markdown(replace(MEASURED, serial_s=20.9e-6))


def test_what_a_tile_takes_is_what_the_store_keeps() -> None:
    record = TileCodec(view=inputs.view()).record
    assert record is not None
    assert record.itemsize == sizing.TILE_BYTES


def test_where_not_all_is_measured_the_readme_stays_as_it_is() -> None:
    text = "<!-- sizing: by make bench -->\nas it was\n<!-- /sizing -->\n"
    assert sizing.written(text, {"benchmarks": {}}) == text
