##@ Measure

.PHONY: bench-operator
bench-operator: binaries ## how many objects the operator manages, how fast and in how much memory
	@$(CLUSTER) e2e/bench/operator.sh

.PHONY: bench-ca
bench-ca: ## 10,000 identities issued and rotated, beside what bounds that and beside cert-manager (half an hour)
	@$(CLUSTER) e2e/install.sh
	@$(CLUSTER) e2e/bench/ca.sh

.PHONY: bench-revocation
bench-revocation: ## from an object's change to the last byte, a thousand times under load (ten minutes)
	@$(CLUSTER) e2e/install.sh
	@$(CLUSTER) e2e/bench/revocation.sh

.PHONY: e2e-rotation
e2e-rotation: ## a fleet of AGENTS (200) through two rotations with live traffic, operators killed, a gateway restarted
	@$(CLUSTER) e2e/install.sh
	@$(CLUSTER) AGENTS=$(or $(AGENTS),200) cargo test --package sallyport-e2e --test e2e_rotation -- --nocapture

.PHONY: bench-audit
bench-audit: ## the audit journal beside bare fdatasync and SQLite, and verification beside SHA-256 (two minutes)
	@e2e/bench/audit.sh
