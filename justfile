# Shortcuts for the commands in CONTRIBUTING.md.

# Lists the recipes.
default:
    @just --list

# Runs all checks that a change must pass.
check: fmt lint doc test

fmt:
    cargo fmt --check

lint:
    cargo clippy --locked --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

test:
    cargo test --locked

# Kills runs at random moments: `just kill-loop 1000`.
kill-loop kills="50":
    scripts/kill-loop {{kills}}

# Runs random scenarios: `just swarm 1000`.
swarm scenarios="100":
    scripts/swarm {{scenarios}}

# Runs the benchmarks of docs/PERFORMANCE.md.
bench *args:
    scripts/bench {{args}}

# Runs the first command of the README.
demo:
    cargo run --release --locked -- run jobs.example.csv -o results.csv --simulate

# Runs all checks as in CI.
ci:
    .ci/run

# Checks licenses, sources and advisories of dependencies (needs cargo-deny and the network).
deny:
    cargo deny --locked check
