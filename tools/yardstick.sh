#!/usr/bin/env bash
# Measures this gateway beside C loops and other gateways: tools/yardstick.sh DIR-OF-THE-YARDSTICK [PEER...]
# Builds the binary as packages have it, puts tools/ours.py among the yardstick's peers, prints one line a run. 15 minutes.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
bench=${1:?the directory of the yardstick}
shift
peers=${*:-collectd node-red}
cargo build --release --no-default-features --quiet --manifest-path "$repo/Cargo.toml"
cp "$repo/tools/ours.py" "$bench/peers/"
cd "$bench"
export PLANTROOM_REPO=$repo PLANTROOM=$repo/target/release/plantroom
m() {
    echo "# $*"
    python3 measure.py "$@" 2>&1 | grep -v '^[ }{]' | tail -1
}
for round in 1 2; do
    for p in floor-device ours $peers; do m "$p" --devices 50 --seconds 20 --warmup 5; done
done
for p in ours $peers; do m "$p" --devices 10 --seconds 25 --warmup 5 --outage 10; done
m ours --devices 10 --seconds 20 --warmup 5 --dead 1
m ours --devices 10 --seconds 20 --warmup 5 --delay-us 20000
for baud in 9600 19200; do
    for p in floor-rtu ours; do m "$p" --devices 10 --rtu $baud --interval 0.1 --seconds 25 --warmup 5; done
done
m ours --devices 10 --rtu 9600 --interval 1 --dead 1 --seconds 40 --warmup 10
