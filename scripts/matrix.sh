#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds every variant of the kernel that must build; prints a line for each, as TAP: matrix.sh [all]
# 'all' adds those whose compilers nothing else here needs; they are skipped where these are not.

. "$(dirname "$0")/lib.sh"

variants=(numa-off compaction-off balloon-off hooks-off nodes-1024 i386 arm64 arm64-4k ppc64le)
more=()
case ${1-} in
'')	;;
all)	more=(riscv64 s390x loongarch64 clang) ;;
*)	die "usage: matrix.sh [all]" ;;
esac

# build N VARIANT
build() {
	local compiler=$2-linux-gnu-gcc

	# It links with its own, which deps.sh does not install.
	[ "$2" != clang ] || compiler=ld.lld${CLANG#clang}
	if [[ " ${more[*]} " == *" $2 "* ]] && ! command -v "$compiler" >/dev/null; then
		echo "ok $1 - $2 # SKIP there is no $compiler"
	elif "$TOP/scripts/build.sh" "$2" > "$BUILD/logs/matrix-$2.log" 2>&1; then
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
for variant in "${variants[@]}" "${more[@]}"; do
	[ $n -lt "$cpus" ] || wait -n
	n=$((n + 1))
	build $n "$variant" &
done
wait
