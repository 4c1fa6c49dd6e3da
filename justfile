# Short names for plain cargo lines; every one works without just as well.

# Lists the recipes.
default:
    @just --list

# Everything that a change must pass.
check: fmt lint doc test

fmt:
    cargo fmt --check

lint:
    cargo clippy --locked --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

test:
    cargo test --locked

# Kills it at random moments: `just kill-loop 1000`.
kill-loop kills="50":
    scripts/kill-loop {{kills}}

# Runs it through worlds drawn by chance: `just swarm 1000`.
swarm rounds="100":
    scripts/swarm {{rounds}}

# Measures it as docs/PERFORMANCE.md shows it.
bench *words:
    scripts/bench {{words}}

# The first command of the README.
demo:
    cargo run --release --locked -- run jobs.example.csv -o results.csv --simulate

# A clean checkout, as a newcomer meets it.
ci:
    .ci/run

# Licences, sources and known advisories of the dependencies (cargo install cargo-deny; needs the network).
deny:
    cargo deny --locked check
