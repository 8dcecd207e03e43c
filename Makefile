# make avatar            the demo: environment, messages, and a talking face          ARGS="--audio my.wav --loop"
# make test              the test environment, ruff and every test                    TESTS="tests/nodes -k restart"
# make clean             remove both environments
PYTHON ?= python3
PROVIDER ?= cpu
TESTS ?=
JOBS ?= 2
PYTEST = .venv-dev/bin/python -m pytest
# Tests that keep time with real nodes have the machine to themselves.
LIVE = tests/nodes tests/launch tests/cli/test_robot_command.py
# The bootstrapper of the ROS wheels must not leak from one environment's Python into another's.
CLEAN_ENV = env -u _ROS_WHEELS_BOOTSTRAP_COMPLETE -u LD_LIBRARY_PATH
INTERFACES = $(wildcard msgs/*.* msgs/*/*.*)
PACKAGING = setup.py pyproject.toml package.xml media2face/__init__.py

.PHONY: avatar test clean

avatar: .venv/.ready
	@.venv/bin/media2face avatar $(ARGS)

test: .venv-dev/.ready
	.venv-dev/bin/ruff check .
ifeq ($(TESTS),)
	status=0; \
	  OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder $(LIVE:%=--ignore=%) || status=$$?; \
	  $(PYTEST) $(LIVE) || status=$$?; \
	  exit $$status
else
	$(PYTEST) $(TESTS)
endif

%/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	  "Python 3.10 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(CLEAN_ENV) $(PYTHON) -m venv $*
	@touch $@

%/.messages: %/.python $(INTERFACES)
	$(CLEAN_ENV) $*/bin/python -m pip install --quiet ./msgs
	@touch $@

.venv/.ready: .venv/.messages $(PACKAGING)
	$(CLEAN_ENV) .venv/bin/python -m pip install --quiet -e '.[$(PROVIDER)]'
	@touch $@

.venv-dev/.ready: .venv-dev/.messages $(PACKAGING)
	$(CLEAN_ENV) .venv-dev/bin/python -m pip install --quiet -e '.[$(PROVIDER),train,dev]'
	@touch $@

clean:
	rm -rf .venv .venv-dev

.PRECIOUS: %/.python %/.messages
