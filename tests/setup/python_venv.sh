#!/bin/bash
# Makes .venv from Debian's own python3 (the one that runs Ganeti) with the tools of pyproject.toml.
. "$(dirname "$0")/common.sh"

VENV=$ROOT/.venv
mapfile -t tools < <(/usr/bin/python3 - "$ROOT/pyproject.toml" <<'PY'
import sys
import tomllib

with open(sys.argv[1], "rb") as project:
    print("\n".join(tomllib.load(project)["dependency-groups"]["dev"]))
PY
)
tools+=("pip>=25.1") # maturin asks for its --group; Debian 12 has an older one
key=$(digest "$(/usr/bin/python3 -V)" "${tools[@]}")
if is_done python_venv "$key" && [ -x "$VENV/bin/python" ]; then exit 0; fi

# Another interpreter than Debian's could not import Ganeti's dependencies.
if ! grep -qs '^home = /usr/bin$' "$VENV/pyvenv.cfg"; then
  say "virtual environment .venv"
  rm -rf "$VENV"
  /usr/bin/python3 -m venv --system-site-packages "$VENV"
fi
say "python tools: ${tools[*]}"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check "${tools[@]}"
# A tool that Debian has as well counts as installed for pip, and then has no command in .venv.
for command in maturin ruff mypy pytest; do
  [ -x "$VENV/bin/$command" ] || die "$command is not in .venv after the installation"
done
mark_done python_venv "$key"
