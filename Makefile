# SPDX-License-Identifier: GPL-2.0
#
# The commands of this project. What they do is in scripts/.

# Where the guest of 'run' and 'shell' differs from the default, e.g.
#   make run NODES=2 SIZE=2G DIST='10,20;30,10' BACKEND=hugetlbfs
options := $(if $(NODES),--nodes '$(NODES)') $(if $(SIZE),--size '$(SIZE)') \
	   $(if $(DIST),--dist '$(DIST)') $(if $(BACKEND),--backend $(BACKEND)) \
	   $(if $(HELP),--help) $(ARGS)

# Another machine than x86, emulated: ARCH=arm64, with base pages of 4K or PAGES=64k. Not all is made for it.
ifeq ($(ARCH),arm64)
$(foreach goal,$(filter-out help deps kernel debug run shell test-short test-arm64 clean,$(MAKECMDGOALS)), \
	$(error $(goal) is for x86 only, not for ARCH=arm64))
endif

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12

.PHONY: deps
deps: ## install the Debian packages that all of this needs
	@scripts/deps.sh

.PHONY: kernel
kernel: deps ## build the patched kernel: build/bzImage; ARCH=arm64 is another machine's
	@scripts/build.sh release

.PHONY: debug
debug: deps ## build the patched kernel that tests run
	@scripts/build.sh debug

.PHONY: vanilla
vanilla: deps ## build the unpatched kernel: build/vanilla/bzImage
	@scripts/build.sh vanilla

.PHONY: tools
tools: ## build the operator's tools into build/tools
	@$(MAKE) -s --no-print-directory -f tools/mm/balloonstat.mk OUTPUT=build/tools

# Help needs no kernel.
.PHONY: run
run: $(if $(HELP),,kernel) ## show and check what it does on a NUMA guest; HELP=1 lists its options
	@$(if $(HELP),,scripts/initramfs.sh release;) scripts/run.py $(options)

.PHONY: shell
shell: kernel ## a shell in such a guest, with the options of 'run'
	@scripts/initramfs.sh release
	@scripts/shell.py $(options)

.PHONY: lint
lint: deps ## check style and sources
	@scripts/lint.sh

.PHONY: test
test: debug kernel ## run all tests
	@scripts/initramfs.sh debug
	@scripts/initramfs.sh release
	@scripts/test.py $(ARGS)

.PHONY: test-short
test-short: debug ## KUnit, the selftests and the main job, on the kernel that checks most
	@scripts/initramfs.sh debug
	@scripts/test.py kunit kselftest run

.PHONY: test-arm64
test-arm64: ## the same on an emulated arm64 machine, with base pages of 4K and of 64K; or PAGES=64k
	@status=0; for pages in $(or $(PAGES),4k 64k); do \
		echo "base pages of $$pages"; \
		$(MAKE) --no-print-directory ARCH=arm64 PAGES=$$pages test-short || status=1; \
	done; exit $$status

.PHONY: test-rt
test-rt: deps ## KUnit and the selftests on a kernel with PREEMPT_RT
	@scripts/build.sh rt
	@scripts/initramfs.sh rt
	@scripts/test.py --kernel rt kunit kselftest

# The trees' lists of headers are enough: no kernel is built for these.
.PHONY: test-user fuzz
test-user: deps ## the core in user space, against a model; OPS= is more, SEED= STEP= repeats
	@scripts/tree.sh
	@$(MAKE) -s --no-print-directory -C tools/testing/balloon -j$$(nproc) all
	@$(MAKE) -s --no-print-directory -C tools/testing/balloon test $(if $(OPS),OPS=$(OPS))

fuzz: deps ## libFuzzer on the core in user space, for MINUTES=
	@scripts/tree.sh
	@$(MAKE) -s --no-print-directory -C tools/testing/balloon -j$$(nproc) fuzz $(if $(MINUTES),MINUTES=$(MINUTES))

.PHONY: xen
xen: ## the patched hypervisor and xl: build/xen-patched/
	@scripts/deps.sh xen
	@scripts/xen-build.sh

.PHONY: test-xen
test-xen: kernel vanilla $(if $(filter patched,$(HYPERVISOR)),xen) ## tests under a real Xen; HYPERVISOR=patched, FLAVOUR=vanilla choose others
	@scripts/build.sh lend
	@scripts/xen-root.sh
	@$(if $(filter patched,$(HYPERVISOR)),scripts/xen-root.sh patched)
	@scripts/initramfs.sh xen
	@scripts/xen_tests.py $(ARGS)

.PHONY: test-upstream
test-upstream: $(if $(filter next,$(KERNEL)),deps) ## patches/upstream alone, each fault without and with its fix; needs KERNEL=next
	@scripts/build.sh upstream-before
	@scripts/build.sh upstream
	@scripts/initramfs.sh vanilla
	@scripts/upstream_test.py $(ARGS)

.PHONY: bench bench-quick
bench: kernel vanilla ## measure side by side with the unpatched kernel: build/bench/report.html
	@scripts/initramfs.sh release
	@scripts/initramfs.sh vanilla
	@bench/alloc_cost.py
	@bench/locality.py
	@bench/nodes.py
	@bench/hosts.py
	@bench/faults.py
	@bench/states.py
	@bench/reclaim.py
	@bench/moves.py
	@bench/cost.py
	@bench/churn.py --rounds 200
	@bench/report.py

bench-quick: kernel vanilla ## some of it, in less than five minutes
	@scripts/initramfs.sh release
	@scripts/initramfs.sh vanilla
	@bench/states.py --cases movable --size 320
	@bench/reclaim.py --size 1024 --backings anon --means patched
	@bench/report.py

.PHONY: soak
soak: debug ## everything at once on a debug kernel, for an hour or MINUTES=
	@scripts/initramfs.sh debug
	@scripts/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: series
series: deps ## all of it for 'git send-email', with a cover letter: build/series/
	@scripts/mail.sh

.PHONY: deb
deb: ## Debian packages of kernel, headers and tools: build/deb/; CONFIG= is another configuration
	@CONFIG='$(CONFIG)' scripts/deps.sh deb
	@CONFIG='$(CONFIG)' scripts/deb.sh

.PHONY: test-deb
test-deb: ## install those packages into a small Debian (SUITE=), boot and balloon it; as root
	@CONFIG='$(CONFIG)' scripts/deps.sh deb
	@scripts/deb_test.py $(if $(SUITE),--suite '$(SUITE)')

.PHONY: test-virt
test-virt: kernel vanilla ## try virsh-node-mem on this machine's libvirtd, with a Debian guest; as root
	@scripts/deps.sh virt
	@scripts/virt_trial.py $(ARGS)

.PHONY: test-host
test-host: kernel ## free 1 GiB of one node of a host of KVM guests, which is a guest itself; takes minutes
	@scripts/initramfs.sh release
	@scripts/host_trial.py $(ARGS)

.PHONY: test-stressors
test-stressors: debug ## LTP's lists of mm and numa, and stress-ng, beside a balloon; LTP= is its source
	@scripts/deps.sh stressors
	@scripts/stressors.py $(if $(LTP),--ltp '$(LTP)') $(ARGS)

.PHONY: test-monitoring
test-monitoring: kernel ## have each alert fire on a real Prometheus, and draw the dashboard of a guest
	@scripts/initramfs.sh release
	@scripts/monitoring_trial.py $(ARGS)

.PHONY: clean
clean: ## remove all that was built
	rm -rf build
