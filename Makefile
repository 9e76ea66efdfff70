# Everything by name: `make help`. The environments are .envs/driver (Snakemake, MLflow) and .envs/cpu (torch and the
# rest). Snakemake comes from the first; `python`, for its rules, from the second, which stands before it in PATH.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ENVIRONMENTS ?= driver cpu
PROFILE ?= workflow/profiles/local
TARGET ?= all
RECIPE ?= config/digits.yaml
RESULTS ?= results/digits
PORT ?= 5000
# SEEDS=3 trains each run with seeds 0, 1 and 2, in place of the recipe's `seeds`; what is done for one seed stays.
CONFIG = $(if $(SEEDS),$(if $(findstring --config ,$(ARGS) ),$(error SEEDS=: expected no --config in ARGS beside it))--config "seeds=[$$(seq -s , 0 $$(($(SEEDS) - 1)))]")

DRIVER := .envs/driver/bin
CPU := .envs/cpu/bin
export PATH := $(CURDIR)/$(CPU):$(CURDIR)/$(DRIVER):$(PATH)
export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: help env conda-pins demo study plan status difference test test-slurm lint format bench compare lock mlflow adopt audit freeze export release clean move
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: ## make the local environments from their locks (PYTHON=/path/to/python3.11 chooses the Python)
	@bash envs/local.sh $(ENVIRONMENTS)

demo: env ## the whole pipeline on handwritten digits, on two cores (SEEDS=3: with intervals over seeds; ARGS= go to Snakemake)
	@$(DRIVER)/python scripts/call.py --profile "$(PROFILE)" $(CONFIG) $(ARGS) -- $(TARGET)
	@printf '\nreport:  %s\nMLflow:  make mlflow\n' "$(CURDIR)/$(RESULTS)/report.html"

study: env ## the study of docs/study, seed by seed; one that lies there is not trained again (SEEDS=2, ARMS="uniform vas")
	@$(CPU)/python scripts/study.py $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ARMS),--arms $(ARMS)) -- $(DRIVER)/python scripts/call.py --profile "$(PROFILE)" $(ARGS)

plan: env ## what a recipe will cost, nothing is computed (RECIPE=config/mmr1.yaml; ARGS="--response-tokens 1500")
	@$(DRIVER)/python scripts/plan.py $(ARGS) --configfile "$(RECIPE)" --profile "$(PROFILE)" $(CONFIG) -- $(TARGET)

status: env ## where the demo's run stands: stages, steps, steps per hour, what failed (RESULTS=results/mmr1)
	@$(DRIVER)/python scripts/status.py "$(RESULTS)"

difference: env ## what two runs or recipes differ in, with intervals (A=results/digits/tiny/vas B=results/digits/tiny/grpo)
	@$(CPU)/python scripts/compare_results.py "$(or $(A),$(error A=: expected a results folder, or MODEL/RUN in one))" "$(or $(B),$(error B=: expected a results folder, or MODEL/RUN in one))" $(ARGS)

# Two workers on two cores, one thread each; a file's tests stay together, because they share fixtures, and files come in
# the order of tests/conftest.py.
test: export OMP_NUM_THREADS ?= 1
test: env ## all tests (ARGS= go to pytest: ARGS='tests/test_schedule.py -k permutation')
	@$(CPU)/python -m pytest -rs $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder --ignore tests/slurm)

# Four workers, because they wait more than they compute.
test-slurm: export OMP_NUM_THREADS ?= 1
test-slurm: env ## the tests on a real SLURM, which they start on this machine (root, slurm-wlm, munge)
	@$(CPU)/python -m pytest -rs -n 4 --dist loadfile tests/slurm $(ARGS)

lint: env ## style, types, and the workflow's own checks
	@$(DRIVER)/ruff check
	@$(DRIVER)/ruff format --check
	@$(CPU)/mypy
	@$(DRIVER)/snakefmt --check Snakefile workflow
	@$(DRIVER)/snakemake --lint
	@folder=$$(mktemp -d); trap "rm -r $$folder" EXIT; \
	  $(CPU)/python scripts/write_schema.py --into $$folder; \
	  cmp $$folder/recipe.schema.json workflow/schemas/recipe.schema.json; cmp $$folder/recipe.md docs/recipe.md

format: env ## rewrite what `make lint` would only complain about
	@$(DRIVER)/ruff check --fix
	@$(DRIVER)/ruff format
	@$(DRIVER)/snakefmt Snakefile workflow
	@$(CPU)/python scripts/write_schema.py

bench: env ## measure what the README claims: time and memory of the demo, of dry runs, of the parts
	@for file in $(wildcard performance/bench_*.py); do echo "== $$file"; PYTHONPATH=scripts $(CPU)/python "$$file"; done

compare: env ## does the working tree make the results of a commit? (OLD=commit; NEW=commit instead of the tree, ARGS=)
	@$(CPU)/python performance/compare_commits.py $(or $(OLD),$(error OLD=: expected a commit)) $(NEW) $(ARGS)

lock: ## resolve the environments anew (ARGS=--upgrade takes the newest versions)
	@bash envs/local.sh uv
	@bash envs/lock.sh $(ARGS)

conda-pins: ## write what conda makes of envs/*.yaml, by URL and hash (needs conda and a channel in reach)
	@bash envs/pins.sh driver cpu gpu

adopt: env ## take over results without Snakemake's notes (.snakemake lost, another checkout) where records agree
	@$(DRIVER)/python scripts/adopt.py --profile "$(PROFILE)" $(CONFIG) $(ARGS) -- $(TARGET)

audit: env ## from results to their sources: does all of it agree? (FILE=results/digits/report.html; ARGS=--full)
	@$(DRIVER)/python scripts/audit.py $(ARGS) "$(or $(FILE),$(RESULTS))"

freeze: env ## write records.sha256, the hashes that anchor all of a results folder; commit or sign it (RESULTS=results/digits)
	@$(DRIVER)/python scripts/audit.py --freeze "$(RESULTS)"

export: env ## pack results for others, an RO-Crate to audit (RESULTS= OUT=digits.zip; ARGS="--largest 10")
	@$(DRIVER)/python scripts/export_crate.py "$(RESULTS)" --out "$(or $(OUT),$(error OUT=: expected the zip file to write))" $(ARGS)

release: env ## a checkpoint to hand on, with hashes and a model card (CHECKPOINT=results/… TO=release)
	@$(CPU)/python scripts/release_model.py "$(or $(CHECKPOINT),$(error CHECKPOINT=: expected a checkpoint of a results folder))" --to "$(or $(TO),$(error TO=: expected the folder to make))"

mlflow: env ## open MLflow on the demo's results, on this machine only (PORT=5000)
	@test -f "$(RESULTS)/mlflow.db" || { echo "$(RESULTS)/mlflow.db: not there yet; make demo writes it" >&2; exit 2; }
	@if (exec 3<> "/dev/tcp/127.0.0.1/$(PORT)") 2> /dev/null; then echo "PORT=$(PORT): in use on this machine; make mlflow PORT=..." >&2; exit 2; fi
	@echo "http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning  (Ctrl-C ends it)"
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true $(DRIVER)/mlflow server --workers 1 --host 127.0.0.1 --port $(PORT) \
	  --backend-store-uri "sqlite:///$$(realpath "$(RESULTS)")/mlflow.db" --artifacts-destination "$$(realpath "$(RESULTS)")/mlflow-artifacts" \
	  || { echo "$(RESULTS)/mlflow.db: MLflow ended with an error; where another version wrote this database: snakemake --profile $(PROFILE) --forcerun export_mlflow -- all" >&2; exit 2; }

clean: env ## what may go, what it frees and costs; removes nothing unasked (RESULTS=; WHAT="caches work"; YES=1)
	@$(DRIVER)/python scripts/clean.py "$(RESULTS)" $(if $(WHAT),--what $(WHAT)) $(if $(YES),--yes)

move: env ## move results to another disk and leave a link; nothing is due then (RESULTS=results/mmr1 TO=/big/disk)
	@$(DRIVER)/python scripts/move_results.py "$(RESULTS)" "$(or $(TO),$(error TO=: expected a folder on another disk))"
