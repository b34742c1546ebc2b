#!/usr/bin/env bash
# Runs pip install quietly; a failure ends in one line that says why, the rest is in build/pip.log.
#
#     scripts/pip-install.sh PYTHON ARGUMENTS-OF-PIP-INSTALL...
set -euo pipefail

python=$1
shift
log=build/pip.log
mkdir -p build

if "$python" -m pip install --disable-pip-version-check --no-input --retries 2 --timeout 30 "$@" \
    </dev/null >$log 2>&1; then
    exit 0
fi

# Our own build says itself in one line what it lacks.
if reason=$(grep -m 1 -o 'opscore_fast: .*' $log); then
    grep -E '^ *csrc/.*(error|warning): ' $log >&2 || true
    echo "$reason" >&2
elif grep -q -E 'NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|SSLError|ReadTimeout' $log; then
    echo "opscore_fast: pip can't reach the package index (no network?): see $log" >&2
else
    reason=$(grep -E '^ERROR: ' $log | tail -n 1 || true)
    echo "opscore_fast: pip install failed: ${reason:-no reason given} (see $log)" >&2
fi
exit 1
