# One line each: what needs more is a script in .ci/. Type ./dev RECIPE, which brings the tools.

set positional-arguments

# Private items are documented too, so a link to one is no broken link.
export RUSTDOCFLAGS := "-D warnings -A rustdoc::private_intra_doc_links"

target := env_var_or_default("CARGO_TARGET_DIR", "target")

_recipes:
    @./dev

# build everything, the datapath's bytecode included
build:
    cargo build --workspace

# compile everything, tests and benches too, without making binaries
check:
    cargo check --workspace --all-targets

# run the tests, as root on the real kernel (arguments go to nextest)
test *arguments:
    .ci/test "$@"

# run the end-to-end tests alone
e2e *arguments:
    .ci/test -E 'binary(e2e)' "$@"

# clippy and shellcheck, every warning an error
lint:
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    shellcheck dev .ci/as-root .ci/image .ci/instructions .ci/package .ci/run .ci/stages \
        .ci/tarball .ci/test .ci/test-boot
    shellcheck dist/deb/postinst dist/deb/prerm dist/deb/postrm

# units, cron and the package, in guests with a systemd of their own (arguments go to nextest)
test-boot *arguments:
    .ci/test-boot "$@"

# the Debian package, into target/package
package:
    .ci/package

# the same as a tarball, with a binary that needs no library of the host's, into target/tarball
tarball:
    .ci/tarball

# kill a run after everything it does that may leave a trace, in each scenario: an hour
faults *arguments:
    PLUMBLINE_FAULTS=all .ci/test --profile faults -E 'binary(e2e) & test(/^faults::/)' "$@"

# format Rust and C
fmt:
    cargo fmt --all
    find bpf/datapath -name '*.[ch]' -exec clang-format -i {} +

# say what fmt would change
fmt-check:
    cargo fmt --all --check
    find bpf/datapath -name '*.[ch]' -exec clang-format --dry-run -Werror {} +

# the style as a test: imports, sizes, dead files, banned words
tidy:
    cargo nextest run --workspace --test tidy

# the documentation, private items too, every warning an error; and run its examples
doc:
    cargo doc --workspace --no-deps --document-private-items --quiet
    cargo test --workspace --doc --quiet

# instructions of the compile path against their ceilings, by callgrind
instructions *arguments:
    .ci/instructions "$@"

# licences and sources of what we depend on
deny:
    cargo deny --locked --log-level error check licenses bans sources

# everything that must hold before a change lands, with the time of each stage
ci:
    .ci/stages fmt-check lint doc deny tidy instructions test-boot

# the main job in seconds, once it is built: a commit becomes policy on real traffic, in namespaces of its own
demo:
    cargo build --workspace --bins
    .ci/as-root {{target}}/debug/demo

# traffic beside its peers, in namespaces of its own (arguments are the bench's: --help says them)
bench *arguments:
    cargo build --release --workspace --bins
    .ci/as-root {{target}}/release/bench "$@"
