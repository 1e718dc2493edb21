#!/bin/bash
# Unpacks Ganeti 3.1 and its test suite from backports into .work/ganeti-3.1, beside the installed 3.0.
. "$(dirname "$0")/common.sh"

SUITE=$RELEASE-backports
PACKAGES=(ganeti-3.1 ganeti-testsuite)
TARGET=$WORK/ganeti-3.1
key=$(digest "$SUITE" "${PACKAGES[@]}")
if is_done ganeti_backport "$key" && [ -f "$TARGET/usr/share/ganeti/3.1/ganeti/__init__.py" ]; then
  exit 0
fi

download=$(mktemp -d "$WORK/download.XXXXXX")
unpacked=$(mktemp -d "$WORK/ganeti.XXXXXX")
trap 'rm -rf "$download" "$unpacked"' EXIT
prepare_suite "$SUITE"
say "Ganeti 3.1: ${PACKAGES[*]} of $SUITE"
(cd "$download" && in_suite "$SUITE" apt-get -qq download "${PACKAGES[@]/%//$SUITE}")
for package in "$download"/*.deb; do dpkg -x "$package" "$unpacked"; done
chmod 755 "$unpacked"
put_in_place "$unpacked" "$TARGET"
mark_done ganeti_backport "$key"
