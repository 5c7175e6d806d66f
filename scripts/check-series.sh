#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks that a series applies to a pristine kernel with 'git am', and that what comes out are the
# files that build/linux is built from: check-series.sh [DIR]
#
# Without DIR, it is what series.sh writes now. A cover letter is no patch and is left out.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

dir=${1:-$BUILD/series.now}
scratch=$BUILD/series.tree

need git
"$TOP/scripts/tree.sh"
[ $# != 0 ] || "$TOP/scripts/series.sh" "$dir"
patches=("$dir"/*.patch)
[[ ${patches[0]} != */0000-cover-letter.patch ]] || patches=("${patches[@]:1}")
mapfile -t files < <(patched_files "${patches[@]}")
base_repo "$scratch" "${files[@]}"
for patch in "${patches[@]}"; do
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
say "${#patches[@]} patches apply to linux $(kernel_version)"
