#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds every variant of the kernel that must build; prints a line for each, as TAP.

. "$(dirname "$0")/lib.sh"

# build N VARIANT
build() {
	if "$TOP/scripts/build.sh" "$2" > "$BUILD/logs/matrix-$2.log" 2>&1; then
		echo "ok $1 - $2"
	else
		echo "not ok $1 - $2"$'\n'"$(sed 's/^/# /' "$BUILD/logs/matrix-$2.log")"
	fi
}

# Half of the time that each takes only one CPU has to do: with its configuration, and with what all
# its objects need.
cpus=$(nproc)
n=0
mkdir -p "$BUILD/logs"
for variant in numa-off compaction-off balloon-off hooks-off nodes-1024 i386 arm64 arm64-4k ppc64le; do
	[ $n -lt "$cpus" ] || wait -n
	n=$((n + 1))
	build $n $variant &
done
wait
