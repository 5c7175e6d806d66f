#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh DIR LINUX TOP CORE: makes the kernel's headers, as stub.h has them, in DIR

set -euo pipefail
dir=$1 linux=$2 top=$3 core=$4

mkdir -p "$dir/mm/balloon" "$dir/linux" "$dir/trace/events" "$dir/asm"
grep -hoE '^#include <[^>]*>' "$core"/*.[ch] "$top/include/linux/balloon_numa.h" \
	"$top/include/trace/events/balloon.h" "$linux/include/linux/list.h" "$linux/lib/sort.c" |
	sed 's/^#include <\(.*\)>/\1/' | sort -u |
while read -r name; do
	[ ! -e "$top/include/$name" ] || continue
	# Made below.
	case $name in linux/sort.h | trace/*) continue ;; esac
	mkdir -p "$dir/${name%/*}"
	echo '#include "stub.h"' > "$dir/$name.new"
	if cmp -s "$dir/$name.new" "$dir/$name"; then
		rm "$dir/$name.new"
	else
		mv "$dir/$name.new" "$dir/$name"
		rm -f "$dir/made"
	fi
done
# What the allocator itself does for the balloon, as it is: machine.c has all around it.
sed -n '/^#ifdef CONFIG_BALLOON_CORE/,/^#endif/p' "$linux/mm/page_alloc.c" > "$dir/isolate.h.new"
test -s "$dir/isolate.h.new"
if cmp -s "$dir/isolate.h.new" "$dir/isolate.h"; then
	rm "$dir/isolate.h.new"
else
	mv "$dir/isolate.h.new" "$dir/isolate.h"
	rm -f "$dir/made"
fi
for name in internal page_alloc page_reporting; do
	[ -e "$dir/mm/$name.h" ] || rm -f "$dir/made"
done
# The stamp: nothing is built anew because a file of the core was saved.
[ ! -e "$dir/made" ] || exit 0
: > "$dir/trace/define_trace.h"
: > "$dir/trace/events/mmflags.h"
ln -sfn "$linux/include/linux/sort.h" "$dir/linux/sort.h"
ln -sfn "$linux/include/linux/list.h" "$dir/kernel-list.h"
for name in internal page_alloc page_reporting; do
	echo '#include "stub.h"' > "$dir/mm/$name.h"
done
touch "$dir/made"
