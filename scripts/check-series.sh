#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks that the patches of series.sh apply to a pristine kernel with 'git am', and that what
# comes out are the files that build/linux is built from.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

patches=$BUILD/series
scratch=$BUILD/series.tree

need git
"$TOP/scripts/tree.sh"
"$TOP/scripts/series.sh" "$patches"
mapfile -t files < <(patched_files "$patches"/*.patch)
base_repo "$scratch" "${files[@]}"
for patch in "$patches"/*.patch; do
	am "$scratch" "$patch" || die "the series does not apply"
done
failed=0
for file in "${files[@]}"; do
	# A patch may also remove a file: then it is in neither.
	[ -e "$scratch/$file" ] || [ -e "$LINUX/$file" ] || continue
	cmp -s "$scratch/$file" "$LINUX/$file" && continue
	echo "${0##*/}: $file is not what the series makes of it" >&2
	failed=1
done
rm -rf "$scratch"
[ $failed = 0 ] || exit 1
say "$(ls "$patches" | wc -l) patches apply to linux $(kernel_version)"
