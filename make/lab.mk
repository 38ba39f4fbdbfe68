##@ Cluster

# Used by the lab's scripts. A cluster that you name in KUBECONFIG is used instead of the lab, by every target.
SALLYPORT_LAB ?= /var/lib/sallyport-lab
SALLYPORT_CACHE ?= $(HOME)/.cache/sallyport
export SALLYPORT_LAB SALLYPORT_CACHE

.PHONY: lab-deps
lab-deps: ## installs the Debian packages that the lab, checks and tests use; none of their services starts
	@e2e/lab/deps.sh

.PHONY: lab-tools
lab-tools: lab-deps ## builds the pinned tools: Kubernetes, containerd, helm, kubeconform, ... (12 minutes, once)
	@e2e/lab/build.sh

.PHONY: lab-up
lab-up: ## a one-node Kubernetes on this machine, or what is missing of one; needs root
	@e2e/lab/up.sh

.PHONY: lab-down
lab-down: ## removes it without a trace; the built tools stay
	@e2e/lab/down.sh

.PHONY: lab-status
lab-status: ## what of it runs
	@e2e/lab/status.sh

.PHONY: lab-purge
lab-purge: lab-down ## removes the built tools and images as well
	@rm -rf "$(SALLYPORT_CACHE)"/{bin,modules,images,buildah,schemas}

.PHONY: images
images: binaries ## container images, into the lab or, with KUBECONFIG and REGISTRY, for your cluster
	@e2e/lab/images.sh
