#!/bin/bash
# Runs in Debian: makes the .deb from a wheel. build.sh PROJECT WHEEL ARCHITECTURE OUT
# The wheel has all that is compiled; what is left is a tree of files, so dpkg-deb alone does it.
set -euo pipefail
PROJECT=$1 WHEEL=$2 ARCH=$3 OUT=$4
HERE=$PROJECT/packaging/debian
NAME=ganeti-hv-kvm
export LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH PYTHONDONTWRITEBYTECODE=1
umask 022
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
packages=$tree/usr/lib/python3/dist-packages doc=$tree/usr/share/doc/$NAME
mkdir -p "$packages" "$doc" "$tree/usr/sbin" "$tree/DEBIAN"

python3 -m zipfile -e "$WHEEL" "$packages"
# Debian's installer keeps its own record of files; without pip's, pip leaves them alone. What our import
# compares its files with (installation.py) has another name.
for record in "$packages"/*.dist-info/RECORD; do
  grep '^ganeti_hv_kvm/' "$record" >"$record.debian"
  rm "$record"
done
version=$(sed -n 's/^Version: //p' "$packages"/*.dist-info/METADATA)
command=$(echo "$packages"/*.data/scripts/$NAME)
sed '1s|.*|#!/usr/bin/python3|' "$command" >"$tree/usr/sbin/$NAME"
rm -r "$packages"/*.data
# Licences are in doc/copyright, once.
rm -rf "$packages"/*.dist-info/licenses

man=$tree/usr/share/man/man8 bash=$tree/usr/share/bash-completion/completions zsh=$tree/usr/share/zsh/vendor-completions
fish=$tree/usr/share/fish/vendor_completions.d
mkdir -p "$man" "$bash" "$zsh" "$fish"
PYTHONPATH=$packages python3 "$HERE/from_parser.py" "$version" "$man/$NAME.8" "$bash/$NAME" "$zsh/_$NAME" "$fish/$NAME.fish"
gzip -9n "$man/$NAME.8"

install -D -m 644 "$HERE/default" "$tree/etc/default/$NAME"
install -D -m 644 "$HERE/needrestart.conf" "$tree/etc/needrestart/conf.d/$NAME.conf"
install -D -m 644 "$HERE/lintian-overrides" "$tree/usr/share/lintian/overrides/$NAME"
mkdir -p "$doc/docs"
cp "$PROJECT"/docs/*.md "$doc/docs/"
cp "$PROJECT/README.md" "$doc/"
install -D -m 644 "$PROJECT/packaging/ganeti-hv-kvm.conf" "$doc/examples/ganeti-hv-kvm.conf"
gzip -9n -c "$PROJECT/CHANGELOG.md" >"$doc/NEWS.gz"
{
  printf '%s (%s) unstable; urgency=medium\n\n  * See NEWS.gz.\n\n' "$NAME" "$version"
  printf ' -- ganeti-hv-kvm developers <developers@localhost.localdomain>  %s\n' "$(date -Ru -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"
{
  printf '%s itself:\n\n' "$NAME"
  cat "$PROJECT/LICENSE"
  printf '\n'
  # Debian has the Apache licence's text once, for all packages.
  awk '/^-+$/ && length == 80 { getline name; skip = tolower(name) ~ /apache/; if (!skip) { print; print name }; next }
       /^=+$/ && length == 80 { skip = 0 } !skip' "$PROJECT/packaging/THIRD-PARTY-LICENSES"
  printf '\nOn Debian the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$doc/copyright"

find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f -exec chmod 644 {} +
chmod 755 "$tree/usr/sbin/$NAME"
size=$(du -k --apparent-size -s "$tree" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCH@/$ARCH/; s/@SIZE@/$size/" "$HERE/control.in" >"$tree/DEBIAN/control"
cp "$HERE/triggers" "$HERE/conffiles" "$tree/DEBIAN/"
install -m 755 "$HERE/postinst" "$HERE/prerm" "$HERE/postrm" "$tree/DEBIAN/"
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
# Debian 12's dpkg reads xz as Debian 13's does; the times are those of the commit.
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$tree" "$OUT/${NAME}_${version}_$ARCH.deb"
