#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packs what a guest runs: initramfs.sh vanilla | release | debug | kcsan | rt | xen
#
# busybox, our init and agent, balloonstat, the programs of scripts/guest/*.c and of the selftests,
# and the flavour's modules, into build/initramfs-FLAVOUR.cpio.gz. The selftests are run on the debug
# kernel or one of its kind, and in others' guests they would take 10 MiB; a guest of an emulated Xen,
# which is slow, has no use for modules either, but it has programs that others have no use for. (Each
# MiB here is one that a guest's watermarks do not know of at first.) Kernels that check each access
# unpack for long, so theirs is not compressed: build/initramfs-debug.cpio. With ARCH=arm64, of and for
# that machine: build/initramfs-release-arm64-4k.cpio.gz and so on.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

flavour=${1:?usage: initramfs.sh vanilla | release | debug | kcsan | rt | xen}
obj=$BUILD/$flavour$ON
[ "$flavour" != vanilla ] || obj=$BUILD/vanilla/release
programs=$BUILD/guest-bin${ON:+-$ARCH}
checks='debug|kcsan|rt'
out=$BUILD/initramfs-$flavour$ON.cpio
pack=(cat)
[[ $flavour == @($checks) ]] || out+=.gz pack=(gzip -1)
root=$BUILD/initramfs-$flavour$ON.new
busybox=$(command -v busybox || true)
[ -z "$ON" ] || busybox=$ARM64_ROOT/bin/busybox

need "${CROSS}gcc" cpio gzip flock "${busybox:-busybox}"
mkdir -p "$programs"
exec 8> "$BUILD/initramfs.lock"
flock 8

for source in "$TOP"/scripts/guest/*.c; do
	program=$programs/$(basename "$source" .c)
	[ "$program" -nt "$source" ] || "${CROSS}gcc" -O2 -Wall -static -pthread -o "$program" "$source"
done

make -s --no-print-directory -f "$TOP/tools/mm/balloonstat.mk" OUTPUT="$programs" LDFLAGS=-static \
	${CROSS:+"CC=${CROSS}gcc"}

# SOURCE TARGET of all that goes in; it is packed again only if one of them has changed.
inputs() {
	local file name selftests=

	echo "$busybox bin/busybox"
	echo "$TOP/scripts/guest/init init"
	[[ $flavour != @($checks) ]] || selftests=$BUILD/selftests${ON:+-$ARCH}
	for file in "$TOP"/scripts/guest/*.c balloonstat; do
		name=$(basename "$file" .c)
		case $name in
		memop|grants|lag)	[ "$flavour" = xen ] || continue ;;
		kexec)		[ "$flavour" = release ] || continue ;;
		esac
		echo "$programs/$name bin/$name"
	done
	for file in ${selftests:+$(find "$selftests" -maxdepth 1 -type f -executable 2>/dev/null)}; do
		echo "$file bin/${file##*/}"
	done
	for file in $(find "$obj" -name '*.ko' 2>/dev/null); do
		echo "$file modules/${file##*/}"
	done
}

id=$(inputs | while read -r source target; do
	echo "$target $(stat -Lc '%s %Y' "$source")"
done | LC_ALL=C sort | sha256sum)
[ ! -e "$out" ] || [ "$(cat "$out.inputs" 2>/dev/null)" != "$id" ] || exit 0

rm -rf "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,root,modules}
inputs | while read -r source target; do
	cp "$source" "$root/$target"
done
ln -s busybox "$root/bin/sh"	# what init itself runs on
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) | "${pack[@]}" > "$out.new"
mv "$out.new" "$out"
echo "$id" > "$out.inputs"
rm -rf "$root"
say "$flavour${ON/-/, }: $(stat -c %s "$out") bytes"
