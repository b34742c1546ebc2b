#!/usr/bin/env bash
# Runs Locust's own tests of its HTTP clients with our classes in the place of Locust's: test_http.py
# and test_fasthttp.py of a checkout of Locust, with nothing but their imports changed.
#
#     scripts/locust-tests.sh LOCUST-CHECKOUT [MORE ARGUMENTS FOR PYTEST...]
#
# VENV is the virtual environment (default .venv). Left out are two tests that go to a server on the
# Internet.
set -euo pipefail

checkout=${1:-}
[ -n "$checkout" ] || {
    echo "opscore_fast: call make locust-tests LOCUST=path/to/a/checkout/of/locust" >&2
    exit 2
}
shift
tests=$(cd "$checkout" && pwd)/locust/test
[ -f "$tests/test_http.py" ] || {
    echo "opscore_fast: $tests/test_http.py is not there: give the folder of a checkout of Locust" >&2
    exit 2
}
cd "$(dirname "$0")/.."
python=$(pwd)/${VENV:-.venv}/bin/python
copy=build/locust-tests

rm -rf "$copy"
mkdir -p "$copy"
cp -r "$tests" "$copy/locust_tests"
sed -i 's/from locust\.test/from locust_tests/; s/import locust\.test/import locust_tests/' \
    "$copy"/locust_tests/*.py
sed -i -E 's/^from locust(\.contrib\.fasthttp)? import (FastHttpUser|FastHttpSession)$/from opscore_fast import \2/
    s/^from locust(\.clients|\.user\.users) import (HttpSession|HttpUser)$/from opscore_fast import \2/' \
    "$copy"/locust_tests/test_http.py "$copy"/locust_tests/test_fasthttp.py
for name in HttpSession HttpUser; do
    grep -q "^from opscore_fast import $name\$" "$copy"/locust_tests/test_http.py
done
for name in FastHttpSession FastHttpUser; do
    grep -q "^from opscore_fast import $name\$" "$copy"/locust_tests/test_fasthttp.py
done

cd "$copy"
exec "$python" -m pytest -q -p no:cacheprovider --rootdir . -c /dev/null \
    locust_tests/test_http.py locust_tests/test_fasthttp.py \
    -k "not verify_true_fails_with_bad_cert and not verify_false_succeeds_with_bad_cert" "$@"
