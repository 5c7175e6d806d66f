#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Writes all that this project changes in a kernel as patches: series.sh OUTDIR
#
# The first ones add the files of our own, as own-patches.sh has them, the others are the patch
# queue. In a pristine kernel's git tree, 'git am OUTDIR/*.patch' applies them.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=${1:?usage: series.sh OUTDIR}
scratch=$BUILD/series.new

# own_patch SUBJECT FILE...: commits these files with the message on standard input; they may be
# patterns.
own_patch() {
	kgit "$scratch" add -f -- "${@:2}"
	GIT_AUTHOR_DATE=$date kgit "$scratch" commit -q -F <(
		printf '%s\n\n' "$1"
		cat
		printf '\nSigned-off-by: NUMA balloon developers <balloon@localhost>\n')
}

need git
mkdir -p "$out" "$BUILD"
rm -f "$out"/[0-9][0-9][0-9][0-9]-*.patch
rm -rf "$scratch"
mkdir "$scratch"
kgit "$scratch" init -q
kgit "$scratch" commit -q --allow-empty -m 'a kernel'
kgit "$scratch" tag kernel
paste <(own_files) <(own_files | in_tree) | while read -r ours file; do
	mkdir -p "$scratch/${file%/*}"
	cp -p "$TOP/$ours" "$scratch/$file"
done
# The day of our last commit: the same sources give the same patches.
date=$(git -C "$TOP" log -1 --format=%cI 2>/dev/null || echo '2024-11-17T00:00:00Z')
. "$TOP/scripts/own-patches.sh"
left=$(kgit "$scratch" status --porcelain --untracked-files=all --ignored)
[ -z "$left" ] || die "scripts/own-patches.sh does not say which patch adds:"$'\n'"$left"
kgit "$scratch" format-patch -q -N --zero-commit --no-signature -o "$(realpath "$out")" kernel
n=$(($(kgit "$scratch" rev-list --count kernel..HEAD) + 1))
rm -rf "$scratch"

for name in $(queue_patches); do
	cp "$QUEUE/$name" "$out/$(printf '%04d-%s' "$n" "${name#[0-9][0-9][0-9][0-9]-}")"
	n=$((n + 1))
done
