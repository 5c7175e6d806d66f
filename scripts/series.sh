#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Writes all that this project changes in a kernel as patches: series.sh OUTDIR
#
# The first one adds the files of our own, the others are the patch queue. In a pristine
# kernel's git tree, 'git am OUTDIR/*.patch' applies them.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=${1:?usage: series.sh OUTDIR}
scratch=$BUILD/series.new

need git
mkdir -p "$out" "$BUILD"
rm -f "$out"/[0-9][0-9][0-9][0-9]-*.patch
rm -rf "$scratch"
mkdir "$scratch"
kgit "$scratch" init -q
kgit "$scratch" commit -q --allow-empty -m 'a kernel'
(cd "$TOP" && own_files | cpio --quiet -pdm "$scratch")
kgit "$scratch" add -Af
# The day of our last commit: the same sources give the same patches.
date=$(git -C "$TOP" log -1 --format=%cI 2>/dev/null || echo '2024-11-17T00:00:00Z')
GIT_AUTHOR_DATE=$date kgit "$scratch" commit -q -F - << 'MESSAGE'
mm/balloon: add a NUMA-aware balloon core

A balloon takes pages from whatever node its worker happens to run on, one
base page at a time: a guest with virtual NUMA loses one node after the
other, and the host's 2M mappings are shattered.

Add a core that tracks a balloon's pages per node, takes and gives back 2M
superframes, and searches nodes in rings of distance, for every hypervisor;
with its documentation and tests. The following patches connect it.

Signed-off-by: NUMA balloon developers <balloon@localhost>
MESSAGE
kgit "$scratch" format-patch -q -1 -N --zero-commit --no-signature -o "$(realpath "$out")"
rm -rf "$scratch"

n=1
for name in $(queue_patches); do
	n=$((n + 1))
	cp "$QUEUE/$name" "$out/$(printf '%04d-%s' $n "${name#[0-9][0-9][0-9][0-9]-}")"
done
