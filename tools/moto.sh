#!/usr/bin/env bash
# Makes bin/moto_server: an AWS emulator that we did not write, for the tests of the CloudWatch output. It is the installed
# one, else one in a virtual environment under bin/. Where neither can be had, those tests are skipped, but in CI fail.
set -euo pipefail
cd "$(dirname "$0")/.."

version=5.2.1
mkdir -p bin
if installed=$(command -v moto_server) && "$installed" --help >/dev/null 2>&1; then
	ln -sf "$installed" bin/moto_server
elif python3 -m venv bin/moto && bin/moto/bin/pip install --quiet "moto[server]==$version"; then
	ln -sf moto/bin/moto_server bin/moto_server
else
	echo 'moto_server is neither installed nor can it be had: the tests against it do not run' >&2
	test -z "${CI:-}"
fi
