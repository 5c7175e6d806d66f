#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds every variant of the kernel that must build; prints a line for each, as TAP.

. "$(dirname "$0")/lib.sh"

n=0
mkdir -p "$BUILD/logs"
for variant in numa-off compaction-off balloon-off hooks-off nodes-1024 i386 arm64 arm64-4k ppc64le; do
	n=$((n + 1))
	if "$TOP/scripts/build.sh" "$variant" > "$BUILD/logs/matrix-$variant.log" 2>&1; then
		echo "ok $n - $variant"
	else
		echo "not ok $n - $variant"
		sed 's/^/# /' "$BUILD/logs/matrix-$variant.log"
	fi
done
