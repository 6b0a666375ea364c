"""Makes the plain `spark-submit` of this Python environment find a Java and this Python: `python -m infra.spark.environment`, run by `make setup`.

Spark reads `conf/spark-env.sh` below its home before it looks for Java; in the pip package nothing is there.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from infra.extras import not_installed
from infra.java import java_home
from schemas.errors import SettingError, TidemarkError
from schemas.wording import cause

LOG4J = Path(__file__).with_name("log4j2.properties")

_SPARK_ENV = """\
# Written by Tidemark's `make setup`, only for the Spark in this Python environment.
JAVA_HOME="$({python} -m infra.spark.environment java)" || exit $?
: "${{PYSPARK_DRIVER_PYTHON:={python}}}"
"""


def spark_home() -> Path:
    """The folder of the pip package, which is a whole Spark.

    Raises:
        SettingError: It is not installed.
    """
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise not_installed("spark")
    return Path(spec.origin).parent


def write() -> Path:
    """Write the files into Spark's `conf` folder.

    Raises:
        SettingError: Spark is not installed, or its folder cannot be written.
    """
    conf = spark_home() / "conf"
    try:
        conf.mkdir(exist_ok=True)
        (conf / "spark-env.sh").write_text(_SPARK_ENV.format(python=shlex.quote(sys.executable)))
        shutil.copyfile(LOG4J, conf / LOG4J.name)
    except OSError as fault:
        raise SettingError(
            f"Spark: {conf} cannot be written: {cause(fault)}; run `make setup` as the owner of the Python environment"
        ) from fault
    return conf


if __name__ == "__main__":
    try:
        print(java_home() if sys.argv[1:] == ["java"] else write())
    except TidemarkError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
