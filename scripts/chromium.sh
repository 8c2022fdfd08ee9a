#!/usr/bin/env bash
# Makes sure that there is a Chromium to test with, and prints its program.
#
# One in the PATH wins, Debian's shell without a window before others, as it is the one that CI has. As root on Debian it is
# installed: it needs some twenty libraries, and a font. Anywhere else it says what to do.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for program in chromium-headless-shell google-chrome chromium "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
	if command -v "$program"; then
		exit
	fi
done
scripts/install.sh chromium-headless-shell chromium-headless-shell fonts-dejavu-core
command -v chromium-headless-shell
