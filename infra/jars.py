"""The Java libraries that no wheel carries: two groups, locked with a sha256 each, fetched once into the Python environment.

`python -m infra.jars` fetches what is missing; `python -m infra.jars lock` resolves the groups anew and rewrites the locks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import ssl
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from infra.settings import Settings
from schemas.errors import ServiceError, SettingError, TidemarkError
from schemas.masking import masked
from schemas.wording import cause

Group = Literal["kafka", "flink"]

_SPECS = Path(__file__).parent / "maven"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_CONNECTIONS = 6
_TRIES = 3
_OF_THIS_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # no proxy or mirror helps


@dataclass(frozen=True, kw_only=True)
class Jar:
    """One locked artifact of Maven's default layout."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """As Maven names it."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> Path:
        """Where a Maven repository keeps it."""
        return Path(*self.group.split("."), self.artifact, self.version, self.file_name)


def locked(group: Group) -> tuple[Jar, ...]:
    """The jars of a group, as its lock lists them."""
    lock = tomllib.loads((_SPECS / group / "jgo.lock.toml").read_text())
    return tuple(
        Jar(group=entry["groupId"], artifact=entry["artifactId"], version=entry["version"], sha256=entry["sha256"])
        for entry in lock["dependencies"]
    )


def classpath(group: Group, settings: Settings) -> tuple[Path, ...]:
    """The files of a group, fetched first when one is missing.

    Raises:
        ServiceError: The artifact repository does not answer, or serves something else than what was locked.
        SettingError: The folder cannot be written.
    """
    folder = _folder(settings) / group
    jars = locked(group)
    missing = [jar for jar in jars if not (folder / jar.file_name).is_file()]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch, ThreadPoolExecutor(_CONNECTIONS) as pool:
                list(pool.map(lambda jar: _fetch(jar, folder, Path(scratch), settings), missing))
        except OSError as fault:
            raise SettingError(
                f"{folder}: cannot keep Java libraries there: {cause(fault)}; set TIDEMARK_JARS to a folder you may write"
            ) from fault
    return tuple(folder / jar.file_name for jar in jars)


def _folder(settings: Settings) -> Path:
    return settings.jars or Path(sys.prefix) / "share" / "tidemark" / "jars"


def _fetch(jar: Jar, folder: Path, scratch: Path, settings: Settings) -> None:
    """Put one verified jar into the folder: from the user's own Maven repository when it is there, else from the net."""
    ready = scratch / jar.file_name
    for tries_left in reversed(range(_TRIES)):
        try:
            shutil.copyfile(_local_copy(jar) or _download(jar, scratch / f"try-{tries_left}", settings), ready)
        except OSError as fault:  # requests' errors are OSErrors too
            if tries_left:
                continue
            if isinstance(fault, PermissionError) or fault.errno in _OF_THIS_MACHINE:
                raise
            raise ServiceError(
                f"{jar.file_name}: not fetched: {_reason(fault, settings)}; behind a proxy set HTTPS_PROXY, with a mirror TIDEMARK_MAVEN"
            ) from fault
        if _sha256(ready) == jar.sha256:
            ready.replace(folder / jar.file_name)
            return
    raise ServiceError(f"{jar.file_name}: what the repository serves is not what was locked (sha256 {jar.sha256}); nothing was kept")


def _local_copy(jar: Jar) -> Path | None:
    file = Path(os.environ.get("M2_REPO", Path.home() / ".m2" / "repository")) / jar.repository_path
    return file if file.is_file() and _sha256(file) == jar.sha256 else None


def _download(jar: Jar, repository: Path, settings: Settings) -> Path:
    # Costs 0.3 s, and is needed only when something is missing.
    from jgo.maven import MavenContext

    _trust_the_system()
    context = MavenContext(repo_cache=repository, remote_repos={"mirror": settings.maven_url} if settings.maven_url else None, timeout=60)
    try:
        fetched = context.resolver.download(context.project(jar.group, jar.artifact).at_version(jar.version).artifact())
    except RuntimeError as missing:
        raise OSError(str(missing)) from missing
    assert fetched is not None
    return Path(fetched)


def _trust_the_system() -> None:
    """Behind a company's proxy the system knows the authority that signs; the bundle inside the package `certifi` does not."""
    if not any(os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")):
        bundle = next((path for path in (ssl.get_default_verify_paths().cafile, *_BUNDLES) if path and Path(path).is_file()), None)
        if bundle is not None:
            os.environ["REQUESTS_CA_BUNDLE"] = bundle


def _reason(fault: BaseException, settings: Settings) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(fault):
        return "its TLS certificate is not trusted; set REQUESTS_CA_BUNDLE to your proxy's CA bundle"
    return cause(fault).replace(settings.maven_url or "://", masked(settings.maven_url or "://"))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock(group: Group) -> int:
    """Resolve a group's coordinates with all that they need and write its lock; returns the number of jars."""
    from jgo.env import EnvironmentBuilder, EnvironmentSpec, LockedDependency, LockFile
    from jgo.maven import MavenContext

    context = MavenContext(timeout=60)
    builder = EnvironmentBuilder(context=context)
    wanted = builder.spec_to_dependencies(EnvironmentSpec.load(_SPECS / group / "jgo.toml"))
    named, needed = context.resolver.resolve(wanted)
    jars = {dependency.artifact.key: dependency for dependency in (*named, *needed) if dependency.scope in ("compile", "runtime")}
    written = LockFile(dependencies=[LockedDependency.from_dependency(jars[key]) for key in sorted(jars, key=str)], environment_name=group)
    written.generated = datetime.now(UTC).replace(microsecond=0)
    written.save(_SPECS / group / "jgo.lock.toml")
    return len(jars)


def main(arguments: Sequence[str]) -> int:
    """Fetch, or lock; one line for each group."""
    try:
        for group in get_args(Group):
            if list(arguments) == ["lock"]:
                print(f"{group}: {lock(group)} jars locked")
            else:
                print(f"{group}: {len(classpath(group, Settings.load()))} jars in place")
    except TidemarkError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
