# Every target installs what it needs: see CONTRIBUTING.md.
RUN := tests/tools tests/run.py
LINTS := python format types yaml spelling changelog docs ansible shell

.PHONY: help demo bench test acceptance lint $(LINTS:%=lint-%) sanity test-unit test-awx test-integration molecule docs hosts changelog build clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 20
	@echo 'lint-…              One part of lint: $(LINTS)'

demo: ## Install, back up, upgrade, destroy and restore an instance on a throw-away host
	@tests/tools tests/journey.py

acceptance: ## The same on a real CATMAID (CATMAID_REPO=... CATMAID_FROM=... CATMAID_TO=..., see tests/journey.py)
	@: $${CATMAID_REPO:?say which CATMAID, see the beginning of tests/journey.py}
	@tests/tools tests/journey.py

bench: ## Measure backups, restores, upgrades and the web site on throw-away hosts, on a quiet machine (BENCH_IMAGES="trixie" BENCH_TREENODES="1000000", see bench/run.py)
	@tests/tools python -m bench.run

test: ## Everything: lint, sanity, unit, integration, Molecule
	@$(RUN)

lint: ## All linters
	@$(RUN) lint

$(LINTS:%=lint-%):
	@$(RUN) $@

sanity: ## ansible-test sanity (SANITY_ARGS="--test pep8")
	@$(RUN) sanity

test-unit: ## Unit and contract tests (PYTEST_ARGS="-k specs")
	@$(RUN) unit

test-awx: ## What AWX is configured by, on a controller in memory
	@$(RUN) awx

test-integration: ## Tests inside a fresh host (IMAGE=bookworm, trixie, bullseye, jammy or noble, PYTEST_ARGS="tests/integration/test_migrate.py")
	@$(RUN) integration$(if $(IMAGE),-$(IMAGE))

molecule: ## Scenarios on two systemd hosts (SCENARIO=upgrade, HOSTS=mine keeps the hosts under that name)
	@$(RUN) molecule$(if $(SCENARIO),-$(SCENARIO))

docs: ## Write the roles' READMEs from their argument specs
	@tests/tools sh -c 'for role in roles/*; do aar-doc "$$role" markdown; done'

hosts: ## Make the images of the test hosts
	@tests/hosts/image

changelog: ## Turn the fragments into CHANGELOG.md for the version in galaxy.yml
	@tests/tools antsibull-changelog release

build: ## Build the collection's archive
	@tests/tools ansible-galaxy collection build --force

clean: ## Remove this checkout's test hosts, logs and archives
	@tests/hosts/down
	@rm -rf .artifacts catmaid-admin-*.tar.gz
