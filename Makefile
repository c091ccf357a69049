# The verbs. A bare Debian 12 needs nothing but make; what is missing is installed, as root or by sudo.

.PHONY: demo test chaos hostile lint clean

demo:
	@tools/setup
	@.venv/bin/python -m focus.demo $(ARGS)

test:
	@tools/setup --all
	@.venv/bin/python tools/test

# All kills of the chaos tests, of which `make test` does some; under an hour, on a machine with nothing else to do.
chaos:
	@tools/setup
	@CHAOS=all .venv/bin/python -m pytest -s -q tests/chaos

# A million hostile stanzas, of which `make test` sends some; some ten minutes. ARGS="--seed 2" for others.
hostile:
	@tools/setup
	@.venv/bin/python -m tests.hostile.run $(ARGS)

lint:
	@tools/setup
	@.venv/bin/ruff check
	@.venv/bin/mypy

clean:
	rm -rf .venv .venvs run build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
