# Sallyport. `make help` lists the targets; `make demo` shows it working, `make test` proves it.
#
# Without a cluster of yours (KUBECONFIG) everything that needs one runs in the lab, a real one-node Kubernetes that
# `make lab-up` brings up on this machine. See e2e/lab/README.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(or $(SALLYPORT_CACHE),$(HOME)/.cache/sallyport)
LAB := $(or $(SALLYPORT_LAB),/var/lib/sallyport-lab)
# One build folder for every checkout, outside the tree.
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Where `binaries` puts what images and people use.
export SALLYPORT_BIN ?= $(CACHE)/dist

# The tools that the lab builds serve here too; yours come first.
export PATH := $(PATH):$(CACHE)/bin
# Your cluster if you named one, else the lab.
CLUSTER = KUBECONFIG="$${KUBECONFIG:-$(LAB)/admin.kubeconfig}"
# crdgen is a feature, so that the library stays lean; checks and tests want it.
FEATURES := --features sallyport-api/crdgen
# Keys in a PKCS#11 token: not in the static images, but checked and tested.
PKCS11 := --features sallyport-operator/pkcs11

include $(wildcard make/*.mk)

##@ Look

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile $(sort $(wildcard make/*.mk))

.PHONY: demo
demo: ## a hospital, a region and an engineer, end to end; then leaves it for you to look at
	@e2e/demo/demo.sh

.PHONY: demo-down
demo-down: ## removes what the demo made
	@e2e/demo/demo.sh down
