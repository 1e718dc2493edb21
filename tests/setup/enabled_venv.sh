#!/bin/bash
# Makes .work/enabled: a virtual environment beside Debian's Ganeti in which the newest wheel of
# .work/dist is installed and enabled, as an operator would do it.
. "$(dirname "$0")/common.sh"

TARGET=$WORK/enabled
wheel=$(ls -t "$WORK"/dist/*.whl 2>/dev/null | head -n 1)
[ -n "$wheel" ] || die "no wheel in .work/dist; it is made by 'make wheel'"
key=$(digest "$(sha256sum "$wheel")")
if is_done enabled_venv "$key" && [ -x "$TARGET/bin/ganeti-hv-kvm" ]; then exit 0; fi

say "installing $(basename "$wheel") into .work/enabled"
rm -rf "$TARGET"
/usr/bin/python3 -m venv --system-site-packages --without-pip "$TARGET"
"$ROOT/.venv/bin/python" -m pip --python "$TARGET/bin/python" install -q --no-deps --no-index \
  --ignore-installed --disable-pip-version-check "$wheel"
"$TARGET/bin/ganeti-hv-kvm" enable >&2
mark_done enabled_venv "$key"
