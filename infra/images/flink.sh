#!/bin/sh
# One process of the Flink cluster in the foreground: `flink.sh jobmanager` or `flink.sh taskmanager`.
set -eu
case "${1:-}" in
  jobmanager | taskmanager) exec "$FLINK_HOME/bin/$1.sh" start-foreground ;;
  *) echo "flink.sh: expected jobmanager or taskmanager" >&2; exit 2 ;;
esac
