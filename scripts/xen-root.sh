#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes what a test needs to boot a real Xen: xen-root.sh [debian|patched]
#
#	build/xen/packages		Debian's packages of the hypervisor, xl and the libraries
#	build/xen/xen			the hypervisor
#	build/xen/dom0-debian.cpio.gz	what dom0 runs: busybox, xl, Xen's daemons, our init and agent
#	build/xen/dom0-patched.cpio.gz	the same with xl and its libraries of build/xen-patched
#	build/xen/exchange32		a guest without a kernel, of 32 bits
#
# Nothing is installed. Packages are fetched once; guests' kernels are not in here: each test
# passes its own (scripts/xen.py).

set -euo pipefail
. "$(dirname "$0")/lib.sh"

dir=$SHARED/xen
packages=$dir/packages
unpacked=$dir/unpacked
patched=$SHARED/xen-patched/tools
which=${1:-debian}
out=$dir/dom0-$which.cpio.gz
root=$dir/dom0.new

case $which in
debian)		;;
patched)	[ -x "$patched/xl" ] || die "there is no build/xen-patched/tools/xl: make xen" ;;
*)		die "usage: xen-root.sh [debian|patched]" ;;
esac

need gcc readelf cpio gzip busybox flock
mkdir -p "$packages" "$SHARED/logs"
exec 8> "$dir/lock"
flock 8

fetch() {
	local version log=$SHARED/logs/xen-packages.log

	need apt-get apt-cache dpkg
	version=$(apt-cache depends xen-system-amd64 2>/dev/null |
		  sed -n 's/.*Depends: xen-hypervisor-\([0-9.]*\)-amd64$/\1/p')
	[ -n "$version" ] || die "apt knows no xen-system-amd64: as root, apt-get update"
	say "fetching Debian's Xen $version"
	rm -rf "$unpacked" "$packages"
	mkdir -p "$unpacked" "$packages"
	(cd "$packages" && apt-get download "xen-hypervisor-$version-amd64" "xen-utils-$version" \
		xenstore-utils "libxenmisc$version" libxentoolcore1 libxentoollog1 libxencall1 \
		libxendevicemodel1 libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 \
		libxenstore4 libxen-dev libc6 libgcc-s1 libyajl2 libuuid1 liblzma5 libzstd1 zlib1g) \
		> "$log" 2>&1 || {
		tail -n 3 "$log" >&2
		die "cannot fetch Xen's packages: is this machine online? (build/logs/${log##*/})"
	}
	echo "$version" > "$packages/version"
}

[ -s "$packages/version" ] && compgen -G "$packages/libxen-dev_*" > /dev/null || fetch
version=$(cat "$packages/version")
if [ ! -e "$dir/xen" ] || [ ! "$dir/xen" -nt "$packages/version" ]; then
	rm -rf "$unpacked"
	mkdir -p "$unpacked"
	for package in "$packages"/*.deb; do
		dpkg -x "$package" "$unpacked"
	done
	gunzip -c "$unpacked/boot/xen-$version-amd64.gz" > "$dir/xen.new"
	mv "$dir/xen.new" "$dir/xen"
fi

# SOURCE TARGET of all that goes in, libraries apart.
inputs() {
	local name

	echo "$(command -v busybox) bin/busybox"
	echo "$TOP/scripts/xen/init init"
	echo "$dir/agent bin/agent"
	echo "$TOP/scripts/xen/xl.conf etc/xen/xl.conf"
	echo "$dir/await bin/await"
	# What Debian's xl needs help with; the latter some tests do, too.
	[ "$which" = patched ] || echo "$dir/vnuma_shim.so lib/vnuma_shim.so"
	echo "$dir/pv_vnuma bin/pv_vnuma"
	echo "$dir/max_mem bin/max_mem"
	if [ "$which" = patched ]; then
		echo "$patched/xl bin/xl"
		for name in "$patched"/lib/*.so.*; do
			echo "$name lib/x86_64-linux-gnu/${name##*/}"
		done
	else
		echo "$unpacked/usr/lib/xen-$version/bin/xl bin/xl"
	fi
	for name in xenstored xenconsoled xen-init-dom0; do
		echo "$unpacked/usr/lib/xen-$version/bin/$name bin/$name"
	done
	for name in xenstore-read xenstore-write xenstore-ls xenstore-list xenstore-rm xenstore-watch; do
		echo "$unpacked/usr/bin/$name bin/$name"
	done
	# libc loads it when a thread of xl's ends.
	name=lib/x86_64-linux-gnu/libgcc_s.so.1
	echo "$(find "$unpacked"/{,usr/}"$name" 2>/dev/null | head -n 1) $name"
	# Where libxl looks for it, when a guest is saved.
	name=usr/lib/xen-$version/bin/libxl-save-helper
	if [ "$which" = patched ]; then
		echo "$patched/libxl-save-helper $name"
	else
		echo "$unpacked/$name $name"
	fi
}

# Copies the libraries that the files in the new root need, and those that these need.
libraries() {
	local name found more=yes

	while [ $more = yes ]; do
		more=no
		for name in $(find "$root" -type f -exec readelf -d {} + 2>/dev/null |
			      sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u); do
			[ ! -e "$root/lib/x86_64-linux-gnu/$name" ] || continue
			found=
			[ "$which" != patched ] || found=$(find "$patched/lib" -name "$name")
			[ -n "$found" ] ||
				found=$(find "$unpacked"/{,usr/}lib/x86_64-linux-gnu -name "$name" \
					2>/dev/null | head -n 1)
			# What was built here may use what was there, such as bzip2.
			[ -n "$found" ] || [ "$which" != patched ] ||
				found=$(find /lib/x86_64-linux-gnu/ -name "$name" 2>/dev/null | head -n 1)
			[ -n "$found" ] || die "no package of those fetched has $name"
			cp -L "$found" "$root/lib/x86_64-linux-gnu/$name"
			more=yes
		done
	done
}

source=$TOP/scripts/xen/await.c
[ "$dir/await" -nt "$source" ] || gcc -O2 -Wall -static -o "$dir/await" "$source"
source=$TOP/scripts/guest/agent.c
[ "$dir/agent" -nt "$source" ] || gcc -O2 -Wall -static -o "$dir/agent" "$source"
source=$TOP/scripts/xen/vnuma_shim.c
[ "$dir/vnuma_shim.so" -nt "$source" ] ||
	gcc -O2 -Wall -shared -fPIC -o "$dir/vnuma_shim.so" "$source" -ldl
for name in pv_vnuma max_mem; do
	source=$TOP/scripts/xen/$name.c
	[ "$dir/$name" -nt "$source" ] ||
		gcc -O2 -Wall -I"$unpacked/usr/include" -o "$dir/$name" "$source" \
			"$unpacked/usr/lib/x86_64-linux-gnu/libxenctrl.so" \
			-Wl,--unresolved-symbols=ignore-in-shared-libs
done
# All of a guest: nothing is linked to it, no library of 32 bits is needed.
source=$TOP/scripts/xen/exchange32.c
[ "$dir/exchange32" -nt "$source" ] ||
	gcc -m32 -O2 -Wall -ffreestanding -fno-pic -no-pie -fno-stack-protector \
		-fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only \
		-nostdlib -static -Wl,-Ttext-segment=0x100000,-z,max-page-size=4096 \
		-Wl,--build-id=none,-e,begin -o "$dir/exchange32" "$source"

id=$(inputs | while read -r source target; do
	echo "$target $(stat -Lc '%s %Y' "$source")"
done | LC_ALL=C sort | sha256sum)
[ ! -e "$out" ] || [ "$(cat "$out.inputs" 2>/dev/null)" != "$id" ] || exit 0

rm -rf "$root"
mkdir -p "$root"/{bin,dev,etc/xen,proc,sys,tmp,root,run,guest,var/lib,lib64,lib/x86_64-linux-gnu}
inputs | while read -r source target; do
	mkdir -p "$(dirname "$root/$target")"
	cp -L "$source" "$root/$target"
done
libraries
ln -s busybox "$root/bin/sh"	# what init itself runs on
ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 > "$out.new"
mv "$out.new" "$out"
echo "$id" > "$out.inputs"
rm -rf "$root"
say "Xen $version: dom0 of $(stat -c %s "$out") bytes"
