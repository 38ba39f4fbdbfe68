##@ Write and check

.PHONY: fmt
fmt: ## formats all Rust code
	@cargo fmt --all

.PHONY: lint
lint: ## clippy on everything; a warning fails
	@cargo clippy --workspace --all-targets $(FEATURES) $(PKCS11) --quiet -- --deny warnings

.PHONY: check-each
check-each: ## each crate alone, so that none lives off another's features
	@for crate in $$(cargo metadata --format-version 1 --no-deps | jq -r '.packages[].name'); do \
	  echo "check $$crate"; cargo check --quiet --all-targets --package "$$crate"; \
	done

.PHONY: generate
generate: ## writes crds/, the chart's definitions and docs/reference/ from libs/api
	@cargo run --quiet --package sallyport-api $(FEATURES) --bin crdgen

.PHONY: deps
deps: ## writes docs/dependencies.txt, who may use whom inside the workspace
	@make/dependencies.sh

.PHONY: metrics
metrics: ## writes docs/metrics.md from where the metrics are made
	@make/metrics.py

.PHONY: golden
golden: ## updates every expected output in the tree; read the diff before you commit it
	@charts/sallyport/tests/golden.sh
	@UPDATE_GOLDEN=1 cargo test --quiet --workspace --exclude sallyport-e2e $(FEATURES)

.PHONY: deny
deny: ## licences, banned crates, duplicates and known vulnerabilities, by cargo-deny (needs the Internet)
	@command -v cargo-deny >/dev/null || { echo "error: cargo-deny is not installed"; \
	  echo "  remedy: cargo install --locked cargo-deny"; exit 1; } >&2
	@cargo deny check

.PHONY: verify
verify: verify-rust verify-generated verify-chart verify-scripts ## all checks that run nothing: what CI runs first

.PHONY: verify-rust
verify-rust:
	@echo "== format"; cargo fmt --all --check
	@echo "== clippy"; $(MAKE) lint

.PHONY: verify-generated
verify-generated:
	@echo "== definitions and manual"; cargo run --quiet --package sallyport-api $(FEATURES) --bin crdgen -- --check
	@echo "== dependency edges"; make/dependencies.sh --check
	@echo "== requirements"; make/compliance.sh
	@echo "== metrics"; make/metrics.py --check

.PHONY: verify-chart
verify-chart:
	@echo "== chart"; charts/sallyport/tests/golden.sh --check
	@if [ -x e2e/lab/validate.sh ]; then echo "== manifests"; e2e/lab/validate.sh; fi

.PHONY: verify-scripts
verify-scripts:
	@echo "== scripts"; git ls-files -z '*.sh' .ci/run | xargs -0 --no-run-if-empty shellcheck --external-sources
