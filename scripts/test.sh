#!/usr/bin/env bash
# The README's test command: installs what the tests need where it is missing, and runs all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup-tests.sh
# Most tests wait for real things most of the time: one more at once than there are cores takes a fifth less time.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))} cargo test --features real-tests "$@"
