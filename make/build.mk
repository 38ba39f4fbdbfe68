##@ Build

.PHONY: binaries
binaries: ## static release binaries in $SALLYPORT_BIN
	@make/binaries.sh

.PHONY: chart
chart: ## lints the Helm chart and compares what it renders with the expected output
	@charts/sallyport/tests/golden.sh --check

.PHONY: chart-package
chart-package: chart ## the chart as an archive in $SALLYPORT_BIN
	@mkdir -p "$(SALLYPORT_BIN)"
	@helm package charts/sallyport --destination "$(SALLYPORT_BIN)"

.PHONY: clean
clean: ## removes build outputs; the lab and its tools stay (make lab-down, make lab-purge)
	@cargo clean
	@rm -rf "$(SALLYPORT_BIN)"
