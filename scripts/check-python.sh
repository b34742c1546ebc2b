#!/usr/bin/env bash
# Stops with one line unless PYTHON (default python3) is a Python that the package runs on.
set -euo pipefail

python=${PYTHON:-python3}
if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
    echo "opscore_fast: no Python found as '$python': install python3, or call make PYTHON=..." >&2
    exit 1
fi
if [ "${version%%.*}" -ne 3 ] || [ "${version#*.}" -lt 11 ]; then
    echo "opscore_fast: Python 3.11 or newer is needed, '$python' is $version:" \
        "call make PYTHON=python3.12 or the like" >&2
    exit 1
fi
