#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs the Debian packages (12 and 13) that building, booting and testing need:
# deps.sh [deb|xen|virt|stressors]
# Asks only dpkg's database, so it costs nothing where all is there. 'deb' adds what only the
# making and the trial of Debian packages need, 'xen' what only Xen's build does, 'virt' what the
# trial on libvirt does, 'stressors' those and what builds LTP. With KERNEL=next the newest kernel's
# source is fetched too, but not installed; with ARCH=arm64 what such a guest runs.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages=(
	# the kernel and its build
	gcc libc6-dev make flex bison bc perl python3 libelf-dev libssl-dev kmod
	cpio xz-utils rsync git ccache
	# guests and what runs in them
	qemu-system-x86 qemu-utils seabios busybox-static numactl libnuma-dev libcap-dev
	# benchmarks with a QEMU plugin, and their charts
	libglib2.0-dev gnuplot-nox
	# the core in user space: libFuzzer
	clang libclang-rt-dev
	# checks, the source of Xen for them, and builds for other machines
	sparse python3-docutils dpkg-dev gcc-aarch64-linux-gnu gcc-powerpc64le-linux-gnu
)

# A machine that is emulated, and programs for it.
[ -z "$ON" ] || packages+=(qemu-system-arm libc6-dev-arm64-cross)

case ${1-} in
'')	;;
deb)	# bindeb-pkg, the configuration of Debian's kernels, a root for the trial
	packages+=(debhelper debootstrap e2fsprogs)
	# A configuration of one's own does as well.
	[ -n "${CONFIG-}" ] || packages+=(linux-config-6.12) ;;
xen)	packages+=(patch autoconf autotools-dev acpica-tools libyajl-dev uuid-dev
		   zlib1g-dev libncurses-dev python3-dev pkg-config) ;;
virt)	packages+=(libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients debootstrap) ;;
stressors)	packages+=(stress-ng autoconf automake m4 pkg-config libaio-dev) ;;
*)	die "usage: deps.sh [deb|xen|virt|stressors]" ;;
esac

# A source tarball of one's own does as well.
[ "$KERNEL" = next ] || [ -r "$KERNEL_TARBALL" ] || packages+=(linux-source-6.12)

# What is not installed but lies in build/.
fetch() {
	[ -z "$ON" ] || "$TOP/scripts/fetch-arm64.sh"
	[ "$KERNEL" = 6.12 ] || "$TOP/scripts/fetch-next.sh"
}

if ! command -v dpkg-query >/dev/null; then
	say "this is no Debian: the packages are called, there, ${packages[*]}"
	exit 0
fi
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
	grep -qx "installed $package" <<< "$installed" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
	fetch
	say "nothing is missing"
	exit 0
fi

install="apt-get install --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
	die "missing: ${missing[*]}"$'\n'"as root: apt-get update && $install"
fi
say "installing ${missing[*]}"
apt-get update -q
for package in linux-source-6.12 linux-config-6.12; do
	[[ " ${missing[*]} " == *" $package "* ]] || continue
	apt-cache show "$package" >/dev/null 2>&1 ||
		die "apt knows no $package: on Debian 12 it comes with bookworm-security;" \
		    "add that suite to apt's sources"
done
DEBIAN_FRONTEND=noninteractive $install -y
fetch
