# run: the demo.  test: everything that must hold.  test-long: the same histories, 5000 of them.
# screenshots: every page, into var/screenshots.  messages: what is to be translated, into locale.  lint, check: two parts of test.  venv: what run needs.  clean: what can be made again, but never var/, the data.

PYTHON ?= python3
BIN := .venv/bin
APPS := accounts credits billing referrals referral_site

# The tests' servers and data, apart from the demo's.
TEST_DATA := $(CURDIR)/var/test
# Settings as in production; no server is asked for anything.
PRODUCTION := REFERRAL_ENVIRONMENT=production REFERRAL_DEMO=0 DEBUG=0 REFERRAL_DATA_DIR=$(TEST_DATA) \
	ALLOWED_HOSTS=referrals.example.com SITE_URL=https://referrals.example.com OPERATOR_NAME=Example \
	DATABASE_URL=postgres://check@localhost/check REDIS_URL=redis://localhost:6379/0 \
	EMAIL_URL=smtp+tls://localhost:587 DEFAULT_FROM_EMAIL=referrals@example.com \
	PAYMENT_GATEWAY=stripe STRIPE_SECRET_KEY=sk_live_check STRIPE_WEBHOOK_SECRET=whsec_check

.PHONY: run screenshots messages test test-long lint check venv clean browser

# Without a shell between them, so that what ends make ends the run.
run: export REFERRAL_DEMO = 1
run: $(BIN)/.runs
	@$(BIN)/python manage.py run

# Every page, for a designer's eye: var/screenshots/index.html
screenshots: $(BIN)/.tests browser
	$(BIN)/python -m tests.browser.screenshots

# What is marked for translation, into locale/ (needs GNU gettext), and compiled beside it (needs nothing).
messages: $(BIN)/.tests
	$(BIN)/python manage.py makemessages --locale de --no-obsolete --no-wrap --add-location file \
		--ignore .venv --ignore var --ignore tests --ignore "templates/admin/*" --ignore "templates/demo/*" --ignore "templates/dev/*"
	$(BIN)/pybabel -q compile --directory locale --domain django --statistics

test: lint check browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-long: $(BIN)/.tests browser
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(BIN)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: $(BIN)/.tests
	$(BIN)/mypy $(APPS) tests manage.py
	$(BIN)/lint-imports
	REFERRAL_DATA_DIR=$(TEST_DATA) REFERRAL_DURABLE=0 $(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		IDENTITY_DIGEST_KEY=check $(BIN)/python manage.py check --deploy --fail-level WARNING

venv: $(BIN)/.runs

# The browser of the browser tests: pip has none.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; } \
		|| { echo "The browser tests need Chromium: install it (Debian: apt-get install chromium)." >&2; exit 1; }

# Each stamp is as young as the requirements that were installed last.
$(BIN)/.runs: requirements.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(BIN)/.tests: requirements.txt requirements-dev.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@ $(BIN)/.runs

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: name one, as in make PYTHON=python3.11 run" >&2; exit 1; }
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
