"""The locked Java libraries: complete, verified, and never replaced by something else."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from infra import jars
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError

_PATH = Path("org/example/thing/1.0/thing-1.0.jar")


@pytest.mark.parametrize("group", get_args(jars.Group))
def test_every_jar_is_locked_with_its_sha256(group: jars.Group) -> None:
    locked = jars.locked(group)
    assert locked
    assert [jar.file_name for jar in locked if not re.fullmatch("[0-9a-f]{64}", jar.sha256)] == []
    assert len({(jar.group, jar.artifact) for jar in locked}) == len(locked), "one version of each"


def test_the_broker_has_its_own_version_of_its_client() -> None:
    version = {jar.artifact: jar.version for jar in jars.locked("kafka")}
    assert version["kafka-clients"] == version["kafka_2.13"]


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL under which it is served."""
    folder = tmp_path / "mirror"
    (folder / _PATH).parent.mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def locked_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A lock of one jar, and that jar's content."""
    content = b"a jar"
    lock = tmp_path / "specs" / "kafka" / "jgo.lock.toml"
    lock.parent.mkdir(parents=True)
    lock.write_text(
        f'[[dependencies]]\ngroupId = "org.example"\nartifactId = "thing"\nversion = "1.0"\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    )
    monkeypatch.setattr(jars, "_SPECS", tmp_path / "specs")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    return content


def test_a_jar_is_fetched_once(tmp_path: Path, mirror: tuple[Path, str], locked_thing: bytes) -> None:
    folder, url = mirror
    (folder / _PATH).write_bytes(locked_thing)
    settings = Settings(jars=tmp_path / "jars", maven=url)
    (fetched,) = jars.classpath("kafka", settings)
    assert fetched.read_bytes() == locked_thing
    (folder / _PATH).unlink()
    assert jars.classpath("kafka", settings) == (fetched,)
    assert [file.name for file in fetched.parent.iterdir()] == ["thing-1.0.jar"]


def test_a_jar_of_the_users_own_repository_is_taken_when_it_is_the_locked_one(tmp_path: Path, locked_thing: bytes) -> None:
    settings = Settings(jars=tmp_path / "jars", maven="http://127.0.0.1:1")
    local = tmp_path / "m2" / _PATH
    local.parent.mkdir(parents=True)
    local.write_bytes(b"another jar")
    with pytest.raises(ServiceError, match=r"thing-1\.0\.jar: not fetched: .*TIDEMARK_MAVEN"):
        jars.classpath("kafka", settings)
    local.write_bytes(locked_thing)
    (fetched,) = jars.classpath("kafka", settings)
    assert fetched.read_bytes() == locked_thing


def test_a_jar_that_is_not_the_locked_one_is_refused(tmp_path: Path, mirror: tuple[Path, str], locked_thing: bytes) -> None:
    folder, url = mirror
    (folder / _PATH).write_bytes(b"tampered")
    with pytest.raises(ServiceError, match="not what was locked"):
        jars.classpath("kafka", Settings(jars=tmp_path / "jars", maven=url))
    assert list((tmp_path / "jars" / "kafka").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, locked_thing: bytes) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"file/kafka: cannot keep Java libraries there: Not a directory; set TIDEMARK_JARS"):
        jars.classpath("kafka", Settings(jars=tmp_path / "file"))


def test_a_full_disk_is_not_told_as_a_repository_that_does_not_answer(
    tmp_path: Path, mirror: tuple[Path, str], locked_thing: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = mirror
    (folder / _PATH).write_bytes(locked_thing)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("infra.jars.shutil.copyfile", full)
    with pytest.raises(SettingError, match=r"kafka: cannot keep Java libraries there: No space left on device"):
        jars.classpath("kafka", Settings(jars=tmp_path / "jars", maven=url))
