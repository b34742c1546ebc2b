#!/usr/bin/env bash
# Runs scenario 1 (quick: 500 users, 30 s) against the stand-in service. `make demo` calls this once
# everything is installed. Exit code 0 only if requests were made and none failed.
#
#     scripts/demo.sh [MORE ARGUMENTS FOR LOCUST...]
#
# HTTP2=1 has the users speak HTTP/2, TLS=1 has them speak by https, NATIVE=1 has native threads run
# their tasks. PORT is the stand-in's (default 8000), VENV the virtual environment (default .venv),
# OUT the folder for the reports (default build/demo; what is in it goes).
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${VENV:-.venv}/bin
port=${PORT:-8000}
scheme=http
out=${OUT:-build/demo}
export OPSCORE_API_KEY=${OPSCORE_API_KEY:-test-api-key}
export OPSCORE_PROFILE=${OPSCORE_PROFILE:-quick}

switch() { # is $1 to be?
    case ${!1:-} in
    "" | 0) return 1 ;;
    1) return 0 ;;
    *) fail "$1 is '${!1}': use 1, or leave it out" ;;
    esac
}

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

locust=("$bin/locust") locustfile=locustfiles/opscore/scenario_1.py service=() told="scenario 1"
if switch NATIVE; then
    locustfile=locustfiles/opscore/agents_1.py
    told+=" by native threads"
fi
if switch TLS; then
    scheme=https
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$out"/key.pem -out "$out"/cert.pem \
        </dev/null >"$out"/openssl.log 2>&1 || fail "openssl made no certificate: see $out/openssl.log"
    service+=(--tls-cert "$out"/cert.pem --tls-key "$out"/key.pem)
    cat >"$out"/trust.py <<'PYTHON'
from pathlib import Path
from locust import events

@events.init.add_listener
def trust(environment, **_):
    """Has all users accept the certificate beside this file."""
    for user_class in environment.user_classes:
        user_class.ca_bundle = Path(__file__).parent / "cert.pem"
PYTHON
    locustfile+=,$out/trust.py
fi
if switch HTTP2; then
    locust=("$bin/python" -m opscore_fast --http-version-in-name --http2)
    switch TLS || locust[-1]+==prior-knowledge
    service+=(--http2)
    told+=" over HTTP/2"
fi
host=$scheme://127.0.0.1:$port

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

"$bin/python" -m opscore_fast standin --host 127.0.0.1 --port "$port" "${service[@]}" \
    </dev/null >"$out"/standin.log 2>&1 &
standin=$!

ask() { # for a path of the stand-in
    "$bin/python" -c '
import ssl, sys, urllib.request
by = [urllib.request.ProxyHandler({})]
by.append(urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
print(urllib.request.build_opener(*by).open(sys.argv[1], timeout=5).read().decode())' "$host$1"
}
for ((try = 1; ; try++)); do
    kill -0 "$standin" 2>/dev/null ||
        fail "the stand-in stopped at once: $(grep -v '^ *$' "$out"/standin.log | tail -n 1)"
    ask /health >/dev/null 2>&1 && break
    ((try < 100)) || fail "the stand-in does not answer $host/health: see $out/standin.log"
    sleep 0.2
done

echo "Stand-in service at $host, $told ($OPSCORE_PROFILE) starts."
code=0
"${locust[@]}" -f "$locustfile" --headless --host "$host" \
    --csv "$out"/scenario_1 --html "$out"/report.html --only-summary "$@" \
    </dev/null 2>&1 | tee "$out"/locust.log || code=$?
spoken=$(ask /standin/protocols || true)
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
if switch HTTP2; then
    # What Locust breaks off at the end is answered and not counted.
    [[ $spoken =~ \"2\":\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= requests)) ||
        fail "not all were HTTP/2: the stand-in has answered $spoken"
    echo "The stand-in has answered ${BASH_REMATCH[1]} requests by HTTP/2."
fi
echo "$requests requests, none failed."
