# The only door to building, trying, testing and installing ctr. `make help` lists what it does.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PREFIX ?= /usr/local
DESTDIR ?=
export PATH := $(PATH):/opt/swift/usr/bin

# A fully static, stripped program starts in 0.6 ms; a dynamically linked one needs 3.7 ms (docs/architecture.md).
# It has a build folder of its own, so that building and testing do not rebuild each other's work.
# Generic types come from accessors with static witness tables, and not by their mangled names: a name is looked up among
# all conformances of the static program, which took half of what a start computes.
RELEASE := -c release --scratch-path .build-release --product ctr \
	--static-swift-stdlib -Xswiftc -static-executable -Xlinker -s -Xlinker -L/usr/local/lib/ctr-build \
	-Xswiftc -Xfrontend -Xswiftc -disable-concrete-type-metadata-mangled-name-accessors

SHARE := $(DESTDIR)$(PREFIX)/share

.PHONY: help setup-% program build demo test bench lint format completions man install uninstall clean

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup-%:
	@scripts/setup.sh $*

build: setup-build program ## the release program, at bin/ctr

# What glibc says about getpwnam and others in static programs concerns FoundationEssentials' functions that ctr does
# not call, so those linker warnings are filtered.
program:
	@mkdir -p bin
	swift build $(RELEASE) 2>&1 | scripts/filter-linker.sh
	@cp .build-release/release/ctr bin/.ctr.new
	@mv bin/.ctr.new bin/ctr

demo: setup-build setup-demo program ## build, make the template `minimal` and show what ctr does with it
	scripts/demo.sh

test: setup-build setup-test setup-lab program ## every test, on this kernel and in the lab; the last line sums up
	scripts/test.sh

bench: setup-build setup-bench program ## measure against crun, runc and a static C floor; writes bench/results.md
	bench/run.sh

lint: setup-build setup-lint ## format, shell scripts, and the rules of scripts/lint-*.sh
	scripts/lint.sh

format: ## rewrite the Swift sources as swift-format wants them
	swift format --in-place --recursive Sources Tests Package.swift

install: build ## install to $(DESTDIR)$(PREFIX): program, manual page, completions, recipes, profiles, systemd unit
	install -D -m 0755 bin/ctr $(DESTDIR)$(PREFIX)/bin/ctr
	install -D -m 0644 docs/man/ctr.1 $(SHARE)/man/man1/ctr.1
	scripts/completions.sh bin/ctr $(SHARE)
	install -d $(SHARE)/ctr
	rm -rf $(SHARE)/ctr/templates
	cp -R rootfs-templates $(SHARE)/ctr/templates
	rm -rf $(SHARE)/ctr/profiles
	cp -R share/profiles $(SHARE)/ctr/profiles
	chmod -R u=rwX,go=rX $(SHARE)/ctr/templates $(SHARE)/ctr/profiles
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@BINDIR@|$(PREFIX)/bin|' share/systemd/ctr.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/ctr.service

uninstall: ## remove what `make install` put there (templates and VPSs stay)
	rm -f $(DESTDIR)$(PREFIX)/bin/ctr $(SHARE)/man/man1/ctr.1 $(SHARE)/bash-completion/completions/ctr
	rm -f $(SHARE)/zsh/site-functions/_ctr $(SHARE)/fish/vendor_completions.d/ctr.fish
	rm -rf $(SHARE)/ctr
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/ctr.service

clean: ## remove everything that was built
	rm -rf .build .build-release .lab bin bench/.work
