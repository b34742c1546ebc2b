#!/usr/bin/env bash
# Sees to the system packages: as root with apt it installs what is missing, else it prints the one
# command to run and stops with exit code 1. Says nothing when everything is there.
#
#     scripts/system-packages.sh build|test|bench
#
# PYTHON is the interpreter that the extension is built for (default python3).
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
build) tools=() ;;
test)
    tools=(openssl:openssl nginx:nginx-light curl:curl)
    tools+=(nghttp:nghttp2-client nghttpd:nghttp2-server nghttpx:nghttp2-proxy node:nodejs)
    tools+=(h2o:h2o caddy:caddy)
    ;;
bench)
    tools=(openssl:openssl nginx:nginx-light wrk:wrk)
    tools+=(h2load:nghttp2-client nghttpd:nghttp2-server)
    ;;
*)
    echo "usage: scripts/system-packages.sh build|test|bench" >&2
    exit 2
    ;;
esac

fail() {
    echo "opscore_fast: $*" >&2
    exit 1
}

missing_packages() {
    local tool
    "${PYTHON:-python3}" buildtools.py
    for tool in ${tools[@]+"${tools[@]}"}; do
        # Servers live in sbin, which not every user has in PATH.
        PATH=$PATH:/usr/sbin:/sbin command -v "${tool%%:*}" >/dev/null || echo "${tool#*:}"
    done
}

missing=$(missing_packages | xargs)
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null ||
    fail "these packages are missing (Debian's names, there is no apt-get here): $missing"
[ "$(id -u)" = 0 ] ||
    fail "system packages are missing, please run: sudo apt-get install -y $missing"

log=build/apt.log
mkdir -p build

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 \
        -o Acquire::Retries=1 -o Acquire::http::Timeout=30 "$@" </dev/null >>$log 2>&1
}
: >$log
apt update || fail "apt-get update failed (no network?): see $log"
# Asked again: which packages there are may be known only now.
missing=$(missing_packages | xargs)
echo "Installing system packages: $missing"
# Debian starts a server as soon as it is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi

# shellcheck disable=SC2086 # a list of names
apt install --no-install-recommends $missing ||
    fail "apt-get could not install $missing (no network?): see $log"

missing=$(missing_packages | xargs)
[ -z "$missing" ] || fail "still missing after apt-get install: $missing (see $log)"
