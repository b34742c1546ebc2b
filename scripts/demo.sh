#!/usr/bin/env bash
# Runs scenario 1 (quick: 500 users, 30 s) against the stand-in service. `make demo` calls this once
# everything is installed. Exit code 0 only if requests were made and none failed.
#
#     scripts/demo.sh [MORE ARGUMENTS FOR LOCUST...]
#
# PORT is the stand-in's (default 8000), VENV the virtual environment (default .venv),
# OUT the folder for the reports (default build/demo; what is in it goes).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${VENV:-.venv}/bin
port=${PORT:-8000}
host=http://127.0.0.1:$port
out=${OUT:-build/demo}
export OPSCORE_API_KEY=${OPSCORE_API_KEY:-test-api-key}
export OPSCORE_PROFILE=${OPSCORE_PROFILE:-quick}

fail() {
    echo "opscore_fast: $*" >&2
    exit 1
}

[[ $port =~ ^[0-9]{1,5}$ ]] && ((10#$port >= 1 && 10#$port <= 65535)) ||
    fail "PORT is '$port', which is no port number (1 to 65535)"

# Asked before the start: whoever has the port might answer /health as well.
"$bin/python" - "$port" <<'PYTHON' || fail "port $port is in use: call make demo PORT=..."
import socket, sys
probe = socket.socket()
probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    probe.bind(("127.0.0.1", int(sys.argv[1])))
except OSError:
    sys.exit(1)
PYTHON

rm -rf "$out"
mkdir -p "$out"

standin=
stop_standin() {
    [ -n "$standin" ] || return 0
    kill "$standin" 2>/dev/null || true
    wait "$standin" 2>/dev/null || true
    standin=
}
trap stop_standin EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$bin/python" -m opscore_fast standin --host 127.0.0.1 --port "$port" \
    </dev/null >"$out"/standin.log 2>&1 &
standin=$!

answers() {
    "$bin/python" -c '
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(sys.argv[1] + "/health", timeout=2).read()' "$host" >/dev/null 2>&1
}
for ((try = 1; ; try++)); do
    kill -0 "$standin" 2>/dev/null ||
        fail "the stand-in stopped at once: $(grep -v '^ *$' "$out"/standin.log | tail -n 1)"
    answers && break
    ((try < 100)) || fail "the stand-in does not answer $host/health: see $out/standin.log"
    sleep 0.2
done

echo "Stand-in service at $host, scenario 1 ($OPSCORE_PROFILE) starts."
code=0
"$bin/locust" -f locustfiles/opscore/scenario_1.py --headless --host "$host" \
    --csv "$out"/scenario_1 --html "$out"/report.html --only-summary "$@" \
    </dev/null 2>&1 | tee "$out"/locust.log || code=$?
stop_standin

# From the table: Locust writes the CSV files once a second, and not at the end.
requests=0 failures=0
if [[ $(<"$out"/locust.log) =~ [[:space:]]Aggregated[[:space:]]+([0-9]+)[[:space:]]+([0-9]+)\( ]]; then
    requests=${BASH_REMATCH[1]} failures=${BASH_REMATCH[2]}
fi
echo "Report: $out/report.html"
echo "CSV:    $(echo "$out"/*.csv)"

((failures == 0)) || fail "$failures of $requests requests failed: see the table above"
((requests > 0)) || fail "no request was made: Locust says why above"
((code == 0)) || fail "locust ended with exit code $code: it says why above"
echo "$requests requests, none failed."
