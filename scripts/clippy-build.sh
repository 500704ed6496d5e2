# Sourced, never run: builds of the workspace's crates with clippy's lints in
# them, warnings denied. This is what `cargo clippy -- -D warnings` does too,
# but with `cargo build` and `cargo test` the same build yields the binaries.
# Dependencies are compiled by rustc as ever, so they are shared with builds
# without it.
export RUSTC_WORKSPACE_WRAPPER=clippy-driver
export CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
