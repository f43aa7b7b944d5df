# The daily commands; `just` lists them.

default:
    @just --list

# A simulated plant, a broker and the gateway in one process.
demo *args:
    cargo run -- demo {{args}}

# Format, lint, test.
check:
    cargo fmt
    cargo clippy --all-targets -- -D warnings
    scripts/test.sh

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
    PLANTROOM_KILLS=1000 cargo test --test real kill_9
