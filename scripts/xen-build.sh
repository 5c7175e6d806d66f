#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds the patched hypervisor, and xl with its libraries: xen-build.sh [source]
#
#	build/xen-source/pristine	Debian's source package, its own patches applied, as a git tree
#	build/xen-patched/source	the same with patches/xen-RELEASE/ on top
#	build/xen-patched/xen		the hypervisor
#	build/xen-patched/tools		xl, its helper, and the libraries
#
# 'source' only makes the trees, which is how the queue is checked. XEN_SOURCE= names an unpacked
# source tree of one's own. Nothing is installed, and apt's own lists are left alone. Exits with 75
# where the source can't be had.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

source=$SHARED/xen-source
pristine=$source/pristine
patched=$SHARED/xen-patched
log=$SHARED/logs/xen-source.log

case ${1-} in
''|source)	;;
*)		die "usage: xen-build.sh [source]" ;;
esac
need git make gcc flex bison python3 flock
mkdir -p "$source" "$patched" "$SHARED/logs"
exec 9> "$source/lock"
flock -n 9 || die "another build of Xen is at work"

# Prints the machine's apt sources of Debian, as sources of source packages.
source_lists() {
	local file

	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ ! -e "$file" ] || sed -n 's/^deb /deb-src /p' "$file"
	done > "$source/apt.list"
	for file in /etc/apt/sources.list.d/*.sources; do
		[ ! -e "$file" ] || { sed 's/^Types:.*/Types: deb-src/' "$file"; echo; }
	done > "$source/apt.sources"
	# apt takes one file, or all of a folder.
	rm -rf "$source/apt.d" "$source/lists"
	mkdir -p "$source/apt.d" "$source/lists/partial"
	mv "$source/apt.list" "$source/apt.sources" "$source/apt.d"
}

apt_source() {
	"$@" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$source/apt.d" \
		-o "Dir::State::lists=$source/lists" -o APT::Sandbox::User=root
}

fetch() {
	local version release

	need apt-get apt-cache dpkg-source
	# That of the packages that xen-root.sh fetches.
	release=$(apt-cache depends xen-system-amd64 2>/dev/null |
		  sed -n 's/.*Depends: xen-hypervisor-\([0-9.]*\)-amd64$/\1/p') || true
	release=${release:-4.17}
	say "fetching Debian's source of Xen $release"
	source_lists
	apt_source apt-get update -q > "$log" 2>&1 || true
	# A mirror may no longer have what its index tells of.
	for version in $(apt_source apt-cache showsrc xen 2>>"$log" |
			 sed -n "s/^Version: \(${release//./\\.}\..*\)/\1/p" | sort -rVu); do
		rm -rf "$source/package"
		mkdir -p "$source/package"
		(cd "$source/package" && apt_source apt-get source --download-only "xen=$version") \
			>> "$log" 2>&1 && break
		rm -rf "$source/package"
	done
	[ -d "$source/package" ] || {
		tail -n 3 "$log" >&2
		say "cannot fetch the source of Xen $release (build/logs/${log##*/}); XEN_SOURCE= names a tree of one's own" >&2
		exit 75
	}
	rm -rf "$source/new"
	dpkg-source --no-check -x "$source"/package/*.dsc "$source/new" >> "$log" 2>&1 ||
		{ tail -n 3 "$log" >&2; die "cannot unpack it"; }
}

if [ ! -d "$pristine/.git" ]; then
	if [ -n "${XEN_SOURCE-}" ]; then
		[ -e "$XEN_SOURCE/xen/common/memory.c" ] || die "XEN_SOURCE=$XEN_SOURCE: there is no xen/common/memory.c"
		rm -rf "$source/new"
		cp -a "$XEN_SOURCE" "$source/new"
		rm -rf "$source/new/.git"
	else
		fetch
	fi
	kgit "$source/new" init -q
	kgit "$source/new" add -Af .
	kgit "$source/new" commit -qm "Xen as Debian ships it"
	rm -rf "$pristine"
	mv "$source/new" "$pristine"
fi

# makefile_says NAME: what the hypervisor's Makefile sets it to.
makefile_says() {
	sed -n "s/^export $1 *= *\([0-9]*\)\$/\1/p" "$pristine/xen/Makefile"
}
release=$(makefile_says XEN_VERSION).$(makefile_says XEN_SUBVERSION)
queue=$TOP/patches/xen-$release
[ -e "$queue/series" ] || die "this is Xen $release: there is no patches/xen-$release"

id=$({ kgit "$pristine" rev-parse HEAD; cat "$queue"/series "$queue"/*.patch; } | sha256sum)
if [ "$(cat "$patched/source.id" 2>/dev/null)" != "$id" ]; then
	rm -rf "$patched/source.id" "$patched/source.new"
	kgit "$source" clone -q "$pristine" "$patched/source.new"
	while read -r patch; do
		# A newer package has some of Xen's own already.
		! kgit "$patched/source.new" apply --reverse --check "$queue/$patch" 2>/dev/null ||
			{ say "$patch is there already"; continue; }
		kgit "$patched/source.new" am -q "$queue/$patch" > "$log" 2>&1 ||
			{ cat "$log" >&2; die "$patch does not apply"; }
	done < "$queue/series"
	# What was built stays, of the hypervisor as far as its source does.
	mkdir -p "$patched/source"
	rsync -rlc --delete --exclude=.git/ --filter='P *.o' --filter='P *.d' --filter='P .*.cmd' \
		--filter='P include/generated/' --filter='P include/config/' --filter='P .config' \
		--filter='P /tools/**' --filter='P /config/**' --filter='P configure' \
		--filter='P /config.*' \
		"$patched/source.new/" "$patched/source/"
	rm -rf "$patched/source.new"
	echo "$id" > "$patched/source.id"
	say "$(wc -l < "$queue/series") patches apply, or are there"
fi
[ "${1-}" != source ] || exit 0

cc=gcc
! command -v ccache >/dev/null || cc="ccache gcc"
export CCACHE_BASEDIR=$SHARED PYTHON=python3
xmake() {
	make -C "$patched/source/xen" XEN_TARGET_ARCH=x86_64 "CC=$cc" -j"$(nproc)" "$@"
}
began=$SECONDS
# followed LOG COMMAND: runs it, and says now and then how far it is.
followed() {
	local log=$SHARED/logs/$1 said=$SECONDS

	"${@:2}" > "$log" 2>&1 &
	while kill -0 $! 2>/dev/null; do
		sleep 1
		[ $((SECONDS - said)) -lt 30 ] || {
			said=$SECONDS
			say "$(grep -cE '^  CC| -c -o ' "$log" || true) objects, $((SECONDS - began)) s"
		}
	done
	wait $! || { tail "$log" >&2; die "it does not build: build/logs/$1"; }
}

hypervisor() {
	xmake olddefconfig && xmake
}
followed build-xen.log hypervisor
cp "$patched/source/xen/xen" "$patched/xen"

# As Debian configures them, as far as it matters here: where the helper is looked for.
configure() {
	cd "$patched/source"
	cp /usr/share/misc/config.{guess,sub} .
	./autogen.sh
	./configure --prefix=/usr --libdir=/usr/lib/x86_64-linux-gnu --sysconfdir=/etc \
		--localstatedir=/var --with-libexec-leaf-dir="xen-$release" --with-system-qemu=/bin/false \
		--disable-{docs,stubdom,xen,rombios,seabios,ovmf,ipxe,qemu-traditional,ocamltools} \
		--disable-{xsmpolicy,pvshim,golang,systemd}
}

toolstack() {
	cd "$patched/source"
	make -C tools/include "CC=$cc"
	make -C tools/libs "CC=$cc" -j"$(nproc)"
	make -C tools/xl "CC=$cc" -j"$(nproc)"
}
[ -e "$patched/source/config/Tools.mk" ] || followed configure-xen.log configure
followed build-xen-tools.log toolstack
rm -rf "$patched/tools"
mkdir -p "$patched/tools/lib"
cp -p "$patched"/source/tools/{xl/xl,libs/light/libxl-save-helper} "$patched/tools/"
cp -a "$patched"/source/tools/libs/*/*.so.* "$patched/tools/lib/"
say "Xen $(sed -n 's/^Version: //p' "$source"/package/*.dsc 2>/dev/null | head -n 1) with $(wc -l < "$queue/series") patches, $((SECONDS - began)) s"
