#!/usr/bin/env bash
# Installs the load generators that the benchmark compares with into build/bench/peers, at pinned
# versions: oha and goose from crates.io, hey as a Go module; wrk and h2load are Debian's and go to the system.
# What is there already in this version is left alone. What can't be had is named, with the reason, and the
# benchmark does without: the exit code is 0 all the same.
#
#     benchmarks/install_peers.sh
set -euo pipefail
cd "$(dirname "$0")/.."

OHA=1.16.0
GOOSE=0.19.0 # as in peers/goose/Cargo.toml
HEY=v0.1.5

peers=$PWD/build/bench/peers
mkdir -p "$peers/bin"

absent() { # NAME REASON
    echo "$2" >"$peers/$1.absent"
    echo "$1 is absent: $2"
}

# Whether NAME is there in VERSION.
current() { # NAME VERSION
    [ -x "$peers/bin/$1" ] && [ "$(cat "$peers/$1.version" 2>/dev/null)" = "$2" ]
}

# Runs a COMMAND that makes bin/NAME, unless NAME is there in VERSION.
install_peer() { # NAME VERSION TOOL COMMAND...
    local name=$1 version=$2 tool=$3 log=$peers/$1.log
    shift 3
    if current "$name" "$version"; then
        echo "$name $version is there"
    elif ! command -v "$tool" >/dev/null; then
        absent "$name" "it is built by $tool, which is not installed"
    else
        echo "Building $name $version (minutes; see $log)"
        rm -f "$peers/$name.version" "$peers/bin/$name"
        if "$@" </dev/null >"$log" 2>&1 && [ -x "$peers/bin/$name" ]; then
            echo "$version" >"$peers/$name.version"
            rm -f "$peers/$name.absent"
        else
            absent "$name" "$tool could not build it: $(grep -v '^ *$' "$log" | tail -n 1 | sed 's,^[[:space:]]*,,')"
        fi
    fi
}

cargo_install() {
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$peers/target} nice cargo install --locked --force --root "$peers" "$@"
}
go_install() {
    GOBIN=$peers/bin nice go install "$@"
}

if scripts/system-packages.sh bench; then
    echo "wrk and h2load are there"
else
    echo "wrk or h2load is absent: the system packages of the benchmark could not be installed"
fi
install_peer oha $OHA cargo cargo_install --version $OHA oha
# A change of the program is a new version of it.
program=$(cat benchmarks/peers/goose/{Cargo.toml,Cargo.lock,src/main.rs} | cksum | cut -d ' ' -f 1)
install_peer bench-goose "$GOOSE-$program" cargo cargo_install --path benchmarks/peers/goose
install_peer hey $HEY go go_install github.com/rakyll/hey@$HEY
rm -rf "$peers/target"
echo "k6 is absent: it is under the AGPL and left out"
