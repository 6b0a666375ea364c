"""docker-compose.yml against the compose specification and the project itself; Docker is not needed, and nothing is started."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra import kafka
from infra.flink_cluster import JVM_ACCESS, _configuration
from infra.java import EXIT_WITHOUT_MEMORY
from infra.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_it_is_valid_by_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    faults = jsonschema.Draft202012Validator(schema).iter_errors(compose)
    assert [f"{'.'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in faults] == []


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    tags = {name: service["image"].partition(":")[2] for name, service in compose["services"].items()}
    assert {name for name, tag in tags.items() if not any(part.isdigit() for part in tag.split("."))} == set()


def test_every_lasting_service_says_whether_it_is_healthy(compose: dict[str, Any]) -> None:
    lasting = {name: service for name, service in compose["services"].items() if service.get("restart") == "unless-stopped"}
    assert lasting.keys() == {"kafka", "valkey", "jobmanager", "taskmanager"}
    assert {name for name, service in lasting.items() if "healthcheck" not in service} == set()


def test_nothing_listens_beyond_loopback(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_what_a_service_waits_for_exists_and_can_become_healthy(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in compose["services"][other]


def test_volumes_and_commands_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= compose["volumes"].keys()
        command = service.get("command", [""])[0]
        if "/" in command:
            assert (ROOT / command).stat().st_mode & 0o111, f"{command} is not executable"


def test_settings_are_ones_that_are_read(compose: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings.load(environ=compose["x-tidemark"]["environment"], folder=tmp_path)
    assert (settings.kafka, settings.redis, settings.flink) == ("kafka:19092", "redis://valkey:6379/0", "http://jobmanager:8081")


def test_the_broker_is_set_up_as_the_embedded_one(compose: dict[str, Any], tmp_path: Path) -> None:
    """But for its addresses and memory."""
    embedded = kafka._properties(tmp_path, 1, 2, Settings())
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in compose["services"]["kafka"]["environment"].items()
    }
    own = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
    differing = {name for name, value in embedded.items() if name not in own and given.get(name, value) != value}
    assert differing == set()
    missing = {name for name in embedded if name not in given} - {
        "num.partitions",
        "num.network.threads",
        "num.io.threads",
        "log.cleaner.dedupe.buffer.size",
    }
    assert missing == set()


def test_a_taskmanager_has_the_memory_of_the_embedded_one(tmp_path: Path) -> None:
    """What fits into a slot here fits there: `tidemark submit` counts it."""
    embedded = _configuration(Settings(home=tmp_path), tmp_path, 1, 2)
    given = yaml.safe_load((ROOT / "infra/images/flink/config.yaml").read_text())
    sizes = {name: value for name, value in given.items() if name.startswith("taskmanager.memory.")}
    assert len(sizes) > 8
    assert {name: bytes_of(value) for name, value in sizes.items()} == {name: bytes_of(str(embedded[name])) for name in sizes}
    assert given["taskmanager.numberOfTaskSlots"] == embedded["taskmanager.numberOfTaskSlots"]
    assert given["taskmanager.jvm-exit-on-oom"] is embedded["taskmanager.jvm-exit-on-oom"] is True


def bytes_of(size: str) -> int | str:
    """A size of Flink's; what is none stays as it is."""
    return int(size[:-1]) * {"b": 1, "m": 1 << 20}[size[-1]] if size[:-1].isdecimal() else size


def _copied() -> Iterator[Path]:
    for line in (ROOT / "infra/images/Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--"):
            yield from (ROOT / word for word in words[1:-1])


def test_the_image_is_built_from_what_is_here_with_the_locked_versions() -> None:
    copied = list(_copied())
    assert [path for path in copied if not path.exists()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {ROOT / package for package in packages} <= set(copied)


def test_the_image_is_tagged_with_this_version(compose: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert compose["services"]["jobs"]["image"] == f"tidemark:{version}"


def test_flink_in_the_image_differs_from_the_embedded_one_only_where_machines_do() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "infra/images/flink/config.yaml").read_text())
    assert set(config["env.java.opts.all"].split()) == {*JVM_ACCESS, EXIT_WITHOUT_MEMORY}
    assert config["web.submit.enable"] is False
