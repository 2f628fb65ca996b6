#!/usr/bin/env bash
# Closes a test run with one line that both people and CI can count; gotestsum calls it with the TESTS_ variables set.
set -euo pipefail
passed=$((TESTS_TOTAL - TESTS_FAILED - TESTS_SKIPPED))
# A package that does not build is both a failure and an error; an error alone means that nothing could run.
failed=$((TESTS_FAILED > 0 ? TESTS_FAILED : TESTS_ERRORS))
echo "$passed passed, $failed failed"
