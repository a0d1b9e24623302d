#!/bin/sh
# One batch run for cron: never two at once, tried again while it ends with 75 (the same call may succeed later).
# Any other code is given on at once. Settings come from the environment; SLACKWATER_TRIES and SLACKWATER_TRY_WAIT
# (seconds) say how often and how soon, SLACKWATER_PROGRAM names the program.
set -u
home=${SLACKWATER_HOME:?says where the versions are}
mkdir -p "$home"
exec 9>"$home/batch-run.lock"
flock -n 9 || exit 0 # one runs: it takes all there is

tries=${SLACKWATER_TRIES:-5}
while :; do
  code=0
  "${SLACKWATER_PROGRAM:-slackwater}" batch run || code=$?
  tries=$((tries - 1))
  if [ "$code" -ne 75 ] || [ "$tries" -le 0 ]; then exit "$code"; fi
  sleep "${SLACKWATER_TRY_WAIT:-30}"
done
