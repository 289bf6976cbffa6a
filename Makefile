# The only entry points a newcomer needs: make demo, make test, make bench, make lint.
CARGO ?= cargo

.PHONY: demo test test-heavy packages lint features bench fuzz instructions mutants

demo:
	$(CARGO) run --release -p trust-engine --features cli -- demo

test:
	.ci/with-postgres .ci/with-redis $(CARGO) test --workspace --exclude lower-layers --all-features
	$(CARGO) run --quiet -p trust-engine-example >/dev/null
	trust-engine/tests/interop/run python node
	.ci/test-c
	.ci/with-postgres .ci/with-redis .ci/test-python
	.ci/with-postgres .ci/with-redis .ci/test-node

# Fails where a hot path takes more instructions than its limit. Needs valgrind and gungraun-runner.
instructions:
	@if command -v valgrind >/dev/null && command -v gungraun-runner >/dev/null; then \
		$(CARGO) bench -p trust-engine-benches --features instructions --bench instructions; \
	else echo "NOT RUN: instruction counts (.ci/tools installs valgrind and gungraun-runner)"; fi

# Breaks the code on purpose, one place after the other, and lists the mutants that no test notices; up to 150 minutes.
mutants:
	.ci/mutants

# Many minutes: hundreds of kills, a thousand damaged stores, ten million checks, and the verifier that needs Go.
test-heavy: test features
	TRUST_ENGINE_HEAVY=1 .ci/with-postgres .ci/with-redis $(CARGO) test --release -p trust-engine --all-features --test crash --test damage \
		--test ceiling_model --test ceiling_threads --test ceiling_crash --test nemesis -- --nocapture
	TRUST_ENGINE_HEAVY=1 $(CARGO) test -p slot-model
	$(MAKE) packages
	TRUST_ENGINE_KILLS=200 .ci/test-c go
	TRUST_ENGINE_HEAVY=1 .ci/with-postgres .ci/with-redis .ci/test-python
	cd bindings-node && TRUST_ENGINE_HEAVY=1 npm test
	trust-engine/tests/interop/run go
	cd benches/peers/gate && $(CARGO) test --release --target-dir ../../../target/peers
	cd benches/peers/ceiling && $(CARGO) test --release --target-dir ../../../target/peers

# Builds what is published, installs it into empty places, and uses it from there. Installs cargo-c where it is missing.
packages:
	.ci/test-packages

lint:
	.ci/layers
	.ci/types --check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --exclude lower-layers --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc -p trust-engine --no-deps --all-features
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --all-features check bans licenses sources; \
	else echo "NOT RUN: cargo-deny (.ci/tools installs it)"; fi
	@if command -v cargo-hack >/dev/null; then $(CARGO) hack check -q -p trust-engine --each-feature --all-targets; \
	else echo "NOT RUN: every feature by itself (.ci/tools installs cargo-hack)"; fi

# The tests of trust-engine with no feature, with each by itself and with those that are on by default.
features:
	.ci/with-postgres .ci/with-redis $(CARGO) hack test -p trust-engine --each-feature
	$(CARGO) test -p trust-engine

bench:
	$(CARGO) bench -p trust-engine-benches
	$(CARGO) bench -p trust-engine-benches --features redis --bench postgres --bench fleet --bench agents
	benches/bindings/run
	cd benches/peers/gate && $(CARGO) bench --target-dir ../../../target/peers
	cd benches/peers/ceiling && $(CARGO) run --release --target-dir ../../../target/peers
	cd benches/peers/ceiling && $(CARGO) run --release --target-dir ../../../target/peers -- overspend

# Needs `cargo install cargo-fuzz`. Sanitizers are a nightly feature of the compiler, hence RUSTC_BOOTSTRAP.
FUZZ_SECONDS ?= 60
fuzz:
	cd trust-engine && for target in policy log gate abi; do mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --target-dir ../target/fuzz $$target fuzz/corpus/$$target $$(test -d fuzz/seeds/$$target && echo fuzz/seeds/$$target) -- \
		-max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 || exit 1; done
