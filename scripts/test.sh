#!/usr/bin/env bash
# The README's test command: installs what the tests need where it is missing, and runs all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup-tests.sh
cargo test --features real-tests "$@"
