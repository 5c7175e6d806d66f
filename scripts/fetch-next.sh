#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fetches the source of the newest kernel, the one of patches/linux-next, out of Debian's backports:
# KERNEL=next fetch-next.sh
#
# The machine's own settings of apt stay as they are, and nothing is installed: the package is unpacked
# here. KERNEL_TARBALL= names a tarball of one's own instead. Ends with 75 where the package is not to be
# had: old ones go when a newer kernel comes, every ten weeks.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

package=linux-source-$NEXT
suite=$NEXT_SUITE
dir=$BUILD/apt
log=$BUILD/logs/fetch.log

if [ -r "$KERNEL_TARBALL" ]; then
	say "$KERNEL_TARBALL is there"
	exit 0
fi
[ "$KERNEL_TARBALL" = "$tarball" ] || die "KERNEL_TARBALL=$KERNEL_TARBALL: there is no such file"
mkdir -p "$BUILD/logs"
say "fetching $package from $suite"
rm -rf "$dir"
if ! unpack_debs "$dir" "$suite" "$(dpkg --print-architecture)" "$package" > "$log" 2>&1; then
	grep -E '^(E|Err|W):' "$log" | head -n 3 >&2 || true
	say "$package is not to be had from $(debian_archive) $suite ($SAID/logs/fetch.log):" \
	    "KERNEL_TARBALL= names a source of linux $NEXT of one's own" >&2
	exit 75
fi
mv "$dir/root/usr/src/$package.tar.xz" "$KERNEL_TARBALL"
rm -rf "$dir"
say "$KERNEL_TARBALL"
