#!/bin/bash
# Makes .work/builder, a Debian 13 that builds the packages with Debian's own tools: no Rust, no
# maturin and no crate of this machine takes part.
. "$(dirname "$0")/common.sh"

SUITE=trixie
TARGET=$WORK/builder
TOOLS=(
  rustc cargo python3-maturin python3-pip python3-venv gcc libc6-dev # wheel and sdist
  debhelper fakeroot lintian                                 # the .deb
  python3-shtab python3-argparse-manpage python3-setuptools # man page, completions
)
key=$(digest "$SUITE" "${TOOLS[@]}")
if is_done debian_builder "$key" && [ -x "$TARGET/usr/bin/rustc" ]; then exit 0; fi

debian_root "$SUITE" "$TARGET.new" "$WORK/debian_builder.log" "${TOOLS[@]}"
put_in_place "$TARGET.new" "$TARGET"
mark_done debian_builder "$key"
