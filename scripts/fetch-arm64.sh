#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fetches what an arm64 guest runs beside our own programs, and what these are linked with, out of the
# Debian that this machine runs: busybox and libnuma, into build/arm64-root/.
#
# The machine's own settings of apt stay as they are, and nothing is installed: it need not know of
# another architecture. ARM64_DEBS= names a folder of one's own with these two packages instead.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages=(busybox-static libnuma-dev)
new=$ARM64_ROOT.new
log=$SHARED/logs/fetch-arm64.log

# unpack DIR: to DIR/root.
unpack() {
	local package

	if [ -z "${ARM64_DEBS-}" ]; then
		unpack_debs "$1" "$(. /etc/os-release; echo "$VERSION_CODENAME")" arm64 \
			"${packages[@]/%/:arm64}"
		return
	fi
	for package in "${packages[@]}"; do
		dpkg-deb -x "$ARM64_DEBS/$package"_*_arm64.deb "$1/root" || return
	done
}

if [ -x "$ARM64_ROOT/bin/busybox" ]; then
	say "${ARM64_ROOT#"$TOP"/} is there"
	exit 0
fi
mkdir -p "$SHARED/logs"
say "fetching ${packages[*]} for arm64"
rm -rf "$new" "$ARM64_ROOT"
if ! unpack "$new" > "$log" 2>&1; then
	grep -E '^(E|Err|W|dpkg-deb):' "$log" | head -n 3 >&2 || true
	die "they are not to be had (${log#"$TOP"/}): ARM64_DEBS= names a folder with" \
	    "${packages[0]}_*_arm64.deb and ${packages[1]}_*_arm64.deb"
fi
mv "$new/root" "$ARM64_ROOT"
rm -rf "$new"
say "${ARM64_ROOT#"$TOP"/}"
