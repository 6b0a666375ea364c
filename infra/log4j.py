"""How the embedded Java services log: a file each, rolled over, never without bound."""

from __future__ import annotations

from pathlib import Path

_TEMPLATE = """\
# Written by `tidemark up`; a change here is overwritten.
status = error
rootLogger.level = {level}
rootLogger.appenderRef.file.ref = file
appender.file.name = file
appender.file.type = RollingFile
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd HH:mm:ss,SSS}} %-5p %c{{1}} - %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 32MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""


def options(folder: Path, *, log: Path, level: str = "INFO") -> tuple[str, ...]:
    """Write the configuration for one log file into a folder; returns the JVM options that select it."""
    config = folder / f"{log.stem}.log4j2.properties"
    config.write_text(_TEMPLATE.format(log=log, level=level))
    return (f"-Dlog4j2.configurationFile={config.as_uri()}", f"-Dlog4j.configurationFile={config.as_uri()}", f"-Dlog.file={log}")
