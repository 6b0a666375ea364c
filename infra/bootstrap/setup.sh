#!/bin/sh
# From Python, pip and a network to a ready .venv: uv (pinned, hash-checked), all packages of uv.lock, those of every extra too, the Java libraries.
# Run by `make setup` in the project's folder. Honours PYTHON, and the settings of pip, uv and proxies.
set -eu

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 2
}

usable() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

find_python() {
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python}; do
    if usable "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  if [ -n "${PYTHON:-}" ]; then
    fail "PYTHON=$PYTHON is not Python 3.11 or 3.12"
  fi
  fail "no Python 3.11 or 3.12 on the PATH; install one, or name it: make setup PYTHON=/path/to/python3.12"
}

# Behind a company's proxy the system knows the authority that signs; the bundles inside Python packages do not.
trust_the_system() {
  for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [ -r "$bundle" ] || continue
    : "${SSL_CERT_FILE:=$bundle}" "${REQUESTS_CA_BUNDLE:=$SSL_CERT_FILE}" "${PIP_CERT:=$SSL_CERT_FILE}"
    export SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT
    return
  done
}

install_uv() {
  wanted=infra/bootstrap/requirements.txt
  if cmp -s "$wanted" .tidemark/tools/requirements.txt; then
    return
  fi
  "$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip; install it (Debian, Ubuntu: apt-get install python3-pip)"
  mkdir -p .tidemark || fail "$(pwd) cannot be written"
  fresh=$(mktemp -d .tidemark/tools.XXXXXX)
  PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --require-hashes --no-deps --only-binary :all: \
    --target "$fresh" --requirement "$wanted" || { rm -rf "$fresh"; fail "uv was not installed; pip says why above"; }
  cp "$wanted" "$fresh/requirements.txt"
  rm -rf .tidemark/tools
  mv "$fresh" .tidemark/tools
}

python=$(find_python)
trust_the_system
install_uv
UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1 .tidemark/tools/bin/uv sync --locked --all-extras --python "$python" || fail "the packages were not installed; uv says why above"
.venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || [ "$(uname)" != Linux ] \
  || fail "LightGBM needs libgomp.so.1, which this system lacks (Debian, Ubuntu: apt-get install libgomp1)"
.venv/bin/python -m infra.jars
.venv/bin/python -m infra.spark.environment >/dev/null
