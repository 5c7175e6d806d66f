#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds Debian packages of the kernel and of the tools into build/deb/: deb.sh [tools]
#
# The kernel has the configuration of Debian's cloud kernels, or that of the file CONFIG, with
# configs/balloon.config and configs/deb.config over it. Its packages are made by its own
# bindeb-pkg. 'tools' makes the package of the tools only.

set -euo pipefail
. "$(dirname "$0")/lib.sh"
umask 022		# what is packed is for all to read

out=$BUILD/deb
work=$BUILD/deb.tree			# bindeb-pkg leaves its packages beside the object folder
src=$work/linux
obj=$work/kernel
log=$BUILD/logs/build-deb.log
tools_name=balloon-numa-tools
suffix=-balloon-numa			# as configs/deb.config has it
fragments=("$TOP/configs/balloon.config" "$TOP/configs/deb.config")
cloud=/usr/src/linux-config-6.12/config.amd64_none_cloud-amd64.xz
config=${CONFIG:-$cloud}

# The same sources give the same kernel, as in build.sh.
export KBUILD_BUILD_TIMESTAMP='Sun Nov 17 00:00:00 UTC 2024' KBUILD_BUILD_USER=balloon \
	KBUILD_BUILD_HOST=localhost LOCALVERSION='' \
	CCACHE_BASEDIR=$BUILD CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
# Dates in packages are those of our last commit. Debian's variables name who packs.
SOURCE_DATE_EPOCH=$(git -C "$TOP" log -1 --format=%ct 2>/dev/null || echo 1731801600)
export SOURCE_DATE_EPOCH DEBFULLNAME=${DEBFULLNAME:-NUMA balloon developers} \
	DEBEMAIL=${DEBEMAIL:-balloon@localhost}
cc=gcc
! command -v ccache >/dev/null || cc="ccache $cc"

# Later sources have a higher version: it ends with the number of our commits.
package_version() {
	echo "$(kernel_version)-$(git -C "$TOP" rev-list --count HEAD 2>/dev/null || echo 1)"
}

# Both compilers are named alike, or the headers' programs would be built twice.
kmake() {
	make -C "$src" O=../kernel ARCH=x86 CC="$cc" HOSTCC="$cc" -j"$(nproc)" "$@"
}

# In build/linux our files are links that lead out of the tree. In the package of headers they
# would lead nowhere, so here they are files; the kernel's own are links to the same data.
copy_tree() {
	mkdir -p "$src"
	rsync -a --delete --exclude=/.git --copy-unsafe-links --link-dest="$LINUX" "$LINUX/" "$src/"
}

configure() {
	local id option name

	[ -r "$config" ] ||
		die "no kernel configuration at $config: it comes with Debian's linux-config-6.12" \
		    "(Debian 13, or bookworm-security); or set CONFIG=FILE"
	id=$({ cat "$config" "${fragments[@]}" "$PRISTINE/Makefile" "$BUILD/linux.queue"
	       own_files | grep -E '(^|/)Kconfig$' | sed "s|^|$TOP/|" | xargs -r cat; } | sha256sum)
	[ "$(cat "$obj/.fragments" 2>/dev/null)" != "$id" ] || return 0
	xzcat -f "$config" > "$obj/.config.new"
	{
		(cd "$obj" && "$src/scripts/kconfig/merge_config.sh" -m .config.new "${fragments[@]}")
		kmake olddefconfig
	} > "$BUILD/logs/config-deb.log" 2>&1 || {
		tail "$BUILD/logs/config-deb.log" >&2
		die "configuring failed: $SAID/logs/config-deb.log"
	}
	# What our fragments say must not be overruled by what Debian's configuration selects.
	grep -E '^(CONFIG_|# CONFIG_)' "${fragments[@]}" -h | while read -r option; do
		# An option that is off may not be mentioned at all.
		name=$(grep -o 'CONFIG_[A-Z0-9_]*' <<< "$option")
		grep -qxF "$option" "$obj/.config" ||
			{ [[ $option == '# '* ]] && ! grep -q "^$name=" "$obj/.config"; } ||
			echo "$option"
	done > "$obj/.overruled"
	[ ! -s "$obj/.overruled" ] || die "wanted, but overruled:"$'\n'"$(cat "$obj/.overruled")"
	echo "$id" > "$obj/.fragments"
}

kernel() {
	local package

	need make gcc flex bison bc flock rsync xz dh_listpackages dpkg-buildpackage
	"$TOP/scripts/tree.sh"
	mkdir -p "$obj" "$BUILD/logs"
	exec 9> "$obj/.lock"
	flock -n 9 || die "another build is at work in ${obj#"$TOP"/}"
	copy_tree
	configure
	say "building $(kmake -s kernelrelease 2>/dev/null | tail -1), which with Debian's" \
	    "configuration takes an hour or more; log: ${log#"$TOP"/}"
	rm -f "$work"/*.{deb,changes,buildinfo}
	kmake bindeb-pkg KDEB_PKGVERSION="$(package_version)" KDEB_CHANGELOG_DIST=unstable \
		> "$log" 2>&1 < /dev/null || {
		grep -nE 'error:|warning:|Error [0-9]|undefined reference|ERROR:|No rule' "$log" |
			head -20 >&2
		die "failed: ${log#"$TOP"/}"
	}
	# linux-libc-dev would replace Debian's for no gain.
	rm -f "$out"/linux-{image,headers}-*.deb
	for package in "$work"/linux-{image,headers}-*.deb; do
		mv "$package" "$out/"
		say "build/deb/${package##*/}"
	done
}

# Builds and installs what the package of tools has, below its root.
install_tools() {
	local root=$1 file cflags ldflags

	cflags="$(dpkg-buildflags --get CPPFLAGS) $(dpkg-buildflags --get CFLAGS)"
	ldflags=$(dpkg-buildflags --get LDFLAGS)
	make -f "$TOP/tools/mm/balloonstat.mk" OUTPUT="$work/objects" DESTDIR="$root" PREFIX=/usr \
		CFLAGS="$cflags" LDFLAGS="$ldflags" install
	# Their Makefile adds to CFLAGS, but makes them static unless told otherwise: here are
	# libraries.
	CFLAGS=$cflags make -C "$LINUX/tools/testing/selftests/balloon" \
		OUTPUT="$work/objects/selftests" LDFLAGS="$ldflags" \
		INSTALL_PATH="$root/usr/lib/$tools_name/selftests" all install
	install -D "$TOP/tools/xen/xl-node-mem" "$root/usr/sbin/xl-node-mem"
	install -D "$TOP/tools/virt/virsh-node-mem" "$root/usr/sbin/virsh-node-mem"
	sed -i '1s|.*|#!/usr/bin/python3|' "$root/usr/sbin/virsh-node-mem"
	install -m 644 "$TOP/tools/virt/virsh-node-mem.8" "$root/usr/share/man/man8/"
	install -m 644 "$TOP/tools/virt/virsh-node-mem.bash-completion" \
		"$root/usr/share/bash-completion/completions/virsh-node-mem"
	# The timer is for who has node_exporter, and enables it.
	install -d "$root/usr/lib/systemd/system" "$root/usr/share/$tools_name"
	install -m 644 "$TOP"/tools/monitoring/balloonstat-prometheus.{service,timer} \
		"$root/usr/lib/systemd/system/"
	install -m 644 "$TOP"/tools/monitoring/{balloon-rules.yml,balloon-rules-test.yml} \
		"$TOP/tools/monitoring/grafana-balloon.json" "$root/usr/share/$tools_name/"
	for file in Documentation/vm/balloon_{numa,core,recipes}.rst; do
		install -D -m 644 "$TOP/$file" "$root/usr/share/doc/$tools_name/${file##*/}"
	done
}

# What Debian's policy asks of any package.
write_docs() {
	local doc=$1/usr/share/doc/$tools_name

	cat > "$doc/copyright" <<- END
		Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
		Upstream-Name: $tools_name

		Files: *
		Copyright: 2024-$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) $DEBFULLNAME
		License: GPL-2.0
		 On Debian systems, the text of version 2 of the GNU General Public License is in
		 /usr/share/common-licenses/GPL-2.
	END
	cat > "$doc/changelog.Debian" <<- END
		$tools_name ($2) unstable; urgency=low

		  * Built with the kernel packages of the same version.

		 -- $DEBFULLNAME <$DEBEMAIL>  $(date -uR -d "@$SOURCE_DATE_EPOCH")
	END
	find "$doc" -name '*.rst' -size +4k -exec gzip -9n {} +
	gzip -9n "$doc/changelog.Debian" "$1"/usr/share/man/man8/*.8
}

# The tools, and the selftests for kernels with a simulated host.
tools() {
	local root=$work/$tools_name programs depends version log=$BUILD/logs/build-deb-tools.log
	local package

	need make gcc rsync gzip strip dpkg-deb dpkg-shlibdeps dpkg-buildflags
	"$TOP/scripts/tree.sh"
	rm -rf "$root"
	mkdir -p "$root/DEBIAN" "$work/objects/selftests" "$work/shlibs/debian" "$BUILD/logs"
	install_tools "$root" > "$log" 2>&1 || {
		tail "$log" >&2
		die "failed: ${log#"$TOP"/}"
	}
	mapfile -t programs < <(find "$root" -type f -perm -u+x ! -name '*-node-mem')
	strip --strip-unneeded --remove-section=.comment --remove-section=.note "${programs[@]}"
	printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$tools_name" "$tools_name" \
		> "$work/shlibs/debian/control"
	depends=$(cd "$work/shlibs" && dpkg-shlibdeps -O "${programs[@]}" 2>> "$log")
	version=$(package_version)
	write_docs "$root" "$version"
	cat > "$root/DEBIAN/control" <<- END
		Package: $tools_name
		Version: $version
		Architecture: $(dpkg --print-architecture)
		Maintainer: $DEBFULLNAME <$DEBEMAIL>
		Installed-Size: $(du -sk "$root/usr" | cut -f1)
		Depends: ${depends#shlibs:Depends=}
		Suggests: numactl, xenstore-utils, libvirt-clients, python3, prometheus-node-exporter
		Section: admin
		Priority: optional
		Description: tools for NUMA-aware memory ballooning
		 balloonstat shows and sets the memory balloon of a guest, node by node.
		 It needs a kernel that balloons by nodes, as linux-image-*$suffix
		 does. Its metrics for Prometheus are kept up to date by
		 balloonstat-prometheus.timer, which has to be enabled; rules and a
		 dashboard are in /usr/share/$tools_name.
		 .
		 xl-node-mem, for Xen's dom0, sets targets of a guest's virtual nodes;
		 virsh-node-mem does so on a host of libvirt's KVM guests.
		 .
		 The selftests in /usr/lib/$tools_name/selftests need a test
		 kernel with a simulated host (CONFIG_BALLOON_NUMA_SIM), and skip on
		 others.
	END
	(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) \
		> "$root/DEBIAN/md5sums"
	rm -f "$out/$tools_name"_*.deb
	package=$(dpkg-deb --root-owner-group --build "$root" "$out" | sed -n "s/.* in '\(.*\)'\.$/\1/p")
	say "build/deb/${package##*/}"
}

mkdir -p "$out"
case ${1-} in
'')	kernel
	tools ;;
tools)	tools ;;
*)	die "usage: deb.sh [tools]" ;;
esac
