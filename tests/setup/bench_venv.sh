#!/bin/bash
# Makes .work/bench-venv: our package as it is built now, and the clients and decoders that it is
# measured against. Nothing of that is needed to use or to test the package.
. "$(dirname "$0")/common.sh"

VENV=$WORK/bench-venv
peers=(qemu.qmp==0.0.6 qmp==1.1.0 orjson==3.13.0)
key=$(digest "$(/usr/bin/python3 -V)" "${peers[@]}")
if is_done bench_venv "$key" && [ -x "$VENV/bin/python" ]; then exit 0; fi

say "virtual environment .work/bench-venv: ${peers[*]}"
rm -rf "$VENV"
/usr/bin/python3 -m venv --system-site-packages "$VENV"
"$VENV/bin/python" -m pip install -q --disable-pip-version-check "${peers[@]}"
mark_done bench_venv "$key"
