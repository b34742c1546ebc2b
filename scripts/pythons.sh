#!/usr/bin/env bash
# Prints the interpreters that the package is tested with, one for each installed version.
set -euo pipefail

for version in 3.11 3.12 3.13; do
    # A name in PATH may be a pyenv shim without that version behind it, so each is tried.
    for python in "python$version" ~/.pyenv/versions/"$version".*/bin/python; do
        found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' \
            2>/dev/null) || continue
        if [ "${found%% *}" = "$version" ]; then
            echo "${found#* }"
            break
        fi
    done
done
