##@ Test

.PHONY: test
test: ## everything: checks, unit tests, a cluster, images, and the tests against them
	@$(MAKE) lab-tools
	@$(MAKE) verify
	@$(MAKE) test-unit
	@$(MAKE) lab-up
	@$(MAKE) binaries
	@$(MAKE) images
	@$(MAKE) test-api
	@$(MAKE) test-e2e
	@$(MAKE) test-clean

.PHONY: unit-tools
unit-tools: ## SoftHSM, in whose token the tests keep a CA's key (Debian: installed if you are root)
	@command -v softhsm2-util >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get install --yes --no-install-recommends softhsm2 >/dev/null; } || { \
	  echo "error: softhsm2-util is not installed"; echo "  remedy: apt-get install softhsm2"; exit 1; } >&2

.PHONY: test-unit
test-unit: unit-tools ## every test that needs no cluster
	@echo "== unit tests"
	@cargo test --workspace --exclude sallyport-e2e $(FEATURES) $(PKCS11)
	@cargo test --package sallyport-e2e --lib --test 'lint_*'

.PHONY: test-api
# One at a time: they share the operator, and some take it away.
test-api: ## tests against an API server: admission (admit_*) and reconciling (api_*)
	@echo "== admission and API tests"
	@$(CLUSTER) e2e/install.sh
	@$(CLUSTER) cargo test --package sallyport-e2e --test 'admit_*' --test 'api_*' -- --test-threads 1

.PHONY: test-e2e
test-e2e: ## tests of everything together (e2e_*): operator, gateways, agents, engineers
	@echo "== end-to-end tests"
	@$(CLUSTER) e2e/install.sh
	@$(CLUSTER) cargo test --package sallyport-e2e --test 'e2e_*' -- --test-threads 1

.PHONY: test-clean
test-clean: ## removes what the tests left in the cluster
	@$(CLUSTER) e2e/uninstall.sh
