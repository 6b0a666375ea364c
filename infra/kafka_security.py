"""Which settings of Kafka's security make sense together: what is missing, and what would be passed over, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_PROTOCOL = "TIDEMARK_KAFKA_SECURITY_PROTOCOL"
_SASL, _SSL = "TIDEMARK_KAFKA_SASL_", "TIDEMARK_KAFKA_SSL_"


def misfits(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings that are right one by one.

    Args:
        values: Name of a field of `Settings` → its value; those that are not given are not there.
    """
    protocol = values.get("kafka_security_protocol", "PLAINTEXT")
    problems = []
    if protocol != "PLAINTEXT" and "kafka" not in values:
        problems.append(
            f"{_PROTOCOL}: {protocol} is for a broker of yours, and the embedded one has PLAINTEXT alone; set TIDEMARK_KAFKA too"
        )
    sasl = {name for name in values if name.startswith("kafka_sasl_")}
    if "SASL" not in protocol:
        problems += [f"{_variable(name)}: is for SASL_PLAINTEXT or SASL_SSL; {_PROTOCOL} is {protocol}" for name in sorted(sasl)]
    else:
        for needed in ("mechanism", "username"):
            if f"kafka_sasl_{needed}" not in sasl:
                problems.append(f"{_PROTOCOL}: {protocol} needs {_SASL}{needed.upper()}")
        given = sasl & {"kafka_sasl_password", "kafka_sasl_password_file"}
        if not given:
            problems.append(f"{_PROTOCOL}: {protocol} needs {_SASL}PASSWORD or {_SASL}PASSWORD_FILE")
        elif len(given) > 1:
            problems.append(f"{_SASL}PASSWORD: there is {_SASL}PASSWORD_FILE as well; set one of them")
    tls = {name for name in values if name.startswith("kafka_ssl_")}
    if "SSL" not in protocol:
        problems += [f"{_variable(name)}: is for SSL or SASL_SSL; {_PROTOCOL} is {protocol}" for name in sorted(tls)]
    elif len(pair := tls & {"kafka_ssl_certificate", "kafka_ssl_key"}) == 1:
        (given_one,) = pair
        missing = "KEY" if given_one == "kafka_ssl_certificate" else "CERTIFICATE"
        problems.append(f"{_variable(given_one)}: needs {_SSL}{missing}; who has a certificate proves it with its key")
    return problems


def _variable(name: str) -> str:
    return f"TIDEMARK_{name.upper()}"
