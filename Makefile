# The only entry points a newcomer needs: make demo, make test, make bench, make lint.
CARGO ?= cargo

.PHONY: demo test test-heavy lint bench

demo:
	$(CARGO) run --quiet --release -p trust-engine --features cli -- demo

test:
	$(CARGO) test --workspace --exclude store-choice --all-features

test-heavy: test
	TRUST_ENGINE_HEAVY=1 $(CARGO) test --release -p trust-engine --all-features --test crash -- --nocapture

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --exclude store-choice --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc -p trust-engine --no-deps --all-features

bench:
	$(CARGO) bench -p trust-engine-benches
