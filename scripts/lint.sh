#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks style and sources: our C files and patches as the kernel does it, our scripts, and that
# both series apply, Linux's and Xen's.

set -uo pipefail
. "$(dirname "$0")/lib.sh"

log=$BUILD/logs/lint
failed=0

need perl python3 sparse make
"$TOP/scripts/tree.sh" || exit 1
mkdir -p "$log"
cd "$TOP" || exit 1

# run NAME COMMAND...: one check; it passes if the command ends well, and is skipped if that ends
# with 75, for want of what it needs from elsewhere.
run() {
	local name=$1

	shift
	if "$@" > "$log/$name" 2>&1; then
		echo "PASS $name"
	elif [ $? = 75 ]; then
		echo "SKIP $name"
		sed 's/^/    /' "$log/$name"
	else
		echo "FAIL $name"
		sed 's/^/    /' "$log/$name"
		failed=1
	fi
}

mapfile -t kernel_sources < <(own_files | grep -E '^(mm|include|drivers|arch)/.*\.[ch]$')
mapfile -t programs < <(find tools scripts bench -name '*.[ch]' 2>/dev/null)
mapfile -t shell < <(grep -rlE '^#!/bin/(ba)?sh' scripts .ci bench tools 2>/dev/null)
mapfile -t python < <({ find scripts bench tools -name '*.py'
			 grep -rlE '^#!/usr/bin/env python3' tools; } 2>/dev/null | sort -u)
mapfile -t patches < <(queue_patches | sed "s|^|$QUEUE/|")

# checkpatch IGNORED [-f] FILE...
# Run where it may leave its cache. No GIT_DIR: checkpatch would run a check of licenses that
# needs the kernel's whole history. Who maintains a file is told by the series as a whole, not by
# each new file; page flags have names in camel case.
checkpatch() {
	local ignored=FILE_PATH_CHANGES,CAMELCASE$1 messages status=0

	shift
	# Of many at once, each says all of its own in one piece.
	messages=$(cd "$log" && GIT_DIR=none perl "$LINUX/scripts/checkpatch.pl" --root="$LINUX" --strict \
		--terse --quiet --no-summary --ignore "$ignored" "$@") || status=1
	[ -z "$messages" ] || echo "${messages//"$TOP/"/}"
	return $status
}

# Stubs of the kernel's own functions and macros, with one thread and no types of a machine:
# what checkpatch would have instead of them is what they stand for.
STUBS=,PREFER_KERNEL_TYPES,VOLATILE,AVOID_BUG,BIT_MACRO,BRACES,COMPARISON_TO_NULL,LINE_SPACING
STUBS+=,MACRO_ARG_PRECEDENCE,MACRO_ARG_REUSE,MACRO_ARG_UNUSED,SPACING,UNCOMMENTED_DEFINITION
STUBS+=,COMPLEX_MACRO,TRAILING_STATEMENTS,DATA_RACE,EXPORT_SYMBOL,IS_ENABLED_CONFIG,MEMORY_BARRIER
STUBS+=,NEW_TYPEDEFS,PREFER_DEFINED_ATTRIBUTE_MACRO,TABSTOP,UNSPECIFIED_INT,USE_LOCKDEP,LONG_LINE
# A harness names functions of the kernel in its messages, which are in one piece, and looks at
# everything of everybody, wherever that is declared.
HARNESS=,PREFER_KERNEL_TYPES,VOLATILE,EMBEDDED_FUNCTION_NAME,AVOID_EXTERNS,LONG_LINE_STRING
HARNESS+=,DEEP_INDENTATION,OPEN_ENDED_LINE,MULTIPLE_ASSIGNMENTS,UNCOMMENTED_DEFINITION,MACRO_ARG_REUSE

# TRACE_EVENT() is laid out in its own way; an iterator names its variables more than once;
# programs have the C library's types, and signal
# handlers.
style() {
	local file ignored status=0 running=0 cpus

	cpus=$(nproc)
	for file in "${kernel_sources[@]}" "${programs[@]}"; do
		case $file in
		include/trace/*)	ignored=,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT ;;
		tools/testing/balloon/stub.h)	ignored=$STUBS ;;
		tools/testing/balloon/*)	ignored=$HARNESS ;;
		mm/balloon/internal.h)	ignored=,MACRO_ARG_REUSE ;;
		mm/*|include/*|drivers/*|arch/*)	ignored= ;;
		*)			ignored=,PREFER_KERNEL_TYPES,VOLATILE ;;
		esac
		if [ $running -ge "$cpus" ]; then
			wait -n || status=1
			running=$((running - 1))
		fi
		checkpatch "$ignored" -f "$TOP/$file" &
		running=$((running + 1))
	done
	while [ $running -gt 0 ]; do
		wait -n || status=1
		running=$((running - 1))
	done
	return $status
}

# show_mem.c has one string over many lines, and a line of ours in it. The commit that a patch
# mends is not in a tree without the kernel's history. A handle's type in brackets is no cast.
patch_style() {
	local patch ignored status=0

	for patch in "${patches[@]}"; do
		ignored=,SPLIT_STRING,UNKNOWN_COMMIT_ID
		! grep -q '^+.*GUEST_HANDLE(' "$patch" || ignored+=,SPACING
		checkpatch "$ignored" "$patch" || status=1
	done
	return $status
}

kernel_doc() {
	perl "$LINUX/scripts/kernel-doc" -none -Werror "${kernel_sources[@]}"
}

shell_syntax() {
	local file status=0

	for file in "${shell[@]}"; do
		"$(head -n 1 "$file" | sed 's/^#!//')" -n "$file" || status=1
	done
	return $status
}

python_syntax() {
	python3 - "${python[@]}" << 'EOF'
import ast, sys
for path in sys.argv[1:]:
    with open(path) as file:
        ast.parse(file.read(), path)
EOF
}

spdx() {
	local file status=0

	for file in $(own_files) "${shell[@]}" "${python[@]}" Makefile configs/*; do
		head -n 3 "$file" | grep -q SPDX-License-Identifier || {
			echo "$file has no SPDX line"
			status=1
		}
	done
	return $status
}

run checkpatch style
run checkpatch-patches patch_style
run kernel-doc kernel_doc
run shell shell_syntax
run python python_syntax
run spdx spdx
run series scripts/check-series.sh
run xen-series scripts/xen-build.sh source
run W=1-and-sparse scripts/build.sh lint
[ "$KERNEL" != 6.12 ] || run debian-config scripts/config-diff.sh
run floors-self-test scripts/floors.py --self-test
run floors scripts/floors.py "$BUILD/lint/mm/balloon"
exit $failed
