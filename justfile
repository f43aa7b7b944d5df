# The daily commands; `just` lists them.

default:
    @just --list

# A simulated plant, a broker and the gateway in one process.
demo *args:
    cargo run -- demo {{args}}

# Format, lint, test.
check:
    cargo fmt
    cargo clippy --all-targets --features real-tests -- -D warnings
    scripts/test.sh

# Tests without services and without root.
test *args:
    cargo test {{args}}

# All tests, against real brokers and stores; as root.
test-all *args:
    scripts/test.sh {{args}}

# Everything that CI does.
ci:
    .ci/run

# Files that the program makes: the reference, its schema, the example site.
fresh:
    UPDATE=1 cargo test --test pure fresh
    UPDATE=1 cargo test --test pure example_site

# Benches of the inner loops.
bench:
    cargo bench

# The long version of the crash test.
kill-1000:
    PLANTROOM_KILLS=1000 cargo test --features real-tests --test real kill_9

# What one more sink, channel, condition, table and room of rules costs.
one-more:
    scripts/one-more.py
