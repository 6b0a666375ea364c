#!/bin/sh
# Trains the example's model the first time, then submits the three jobs; one that runs already is left alone.
set -eu
service=flight_delay
model="$TIDEMARK_HOME/model"

if [ ! -d "$model" ]; then
  data=$(python -m jobs.demo.flights)
  tidemark backfill --service "$service" --events "$data/events" --requests "$data/requests/flight_requests" \
    --until 2013-10-01 --label --out "$TIDEMARK_HOME/training" --overwrite
  tidemark train "$service" --training "$TIDEMARK_HOME/training" --out "$model"
fi

runs() { tidemark jobs | grep -q "^$1 .*RUNNING"; }
runs features || tidemark submit features
runs materialize || tidemark submit materialize
runs "score-$service" || tidemark submit score "$service" --model "$model"
tidemark jobs
