#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Builds one kernel: build.sh vanilla | release | debug | kcsan | rt | lint | upstream | VARIANT
#
#   vanilla   the unpatched kernel, configured as release    build/vanilla/bzImage
#   release   what is run and measured                       build/bzImage, build/vmlinux
#   debug     what tests run, with modules                   build/debug/arch/x86/boot/bzImage
#   kcsan     as debug, but looks for data races instead of memory errors
#   rt        as debug, with PREEMPT_RT
#   irqsoff   as release, and traces how long interrupts are off: for bench/irqsoff.py
#   lend      as release, for guests of Xen: foreign memory is mapped at ballooned pages, and nodes
#             are none that firmware knows of
#   upstream  the newest kernel with the fixes of patches/upstream and nothing else of ours, and
#   upstream-before  without them, configured alike: for upstream_test.py
#   lint      our sources only, as for debug: every warning and what sparse says is an error
#
# and the variants that must build, as far as they concern us:
#
#   numa-off compaction-off balloon-off hooks-off nodes-1024 i386 arm64 arm64-4k ppc64le
#
# or that are looked at now and then, as they need more compilers ('matrix.sh all'):
#
#   riscv64 s390x loongarch64 clang
#
# With ARCH=arm64, release and debug are of that machine, with base pages of 4K or PAGES=64k:
# build/release-arm64-4k/arch/arm64/boot/Image and so on.
#
# With --config before it, only the configuration of that name is made, in a folder of its own:
# build/release-config/.config.
#
# The whole output goes to build/logs/build-FLAVOUR.log. With KERNEL=next all of this is of the newest
# kernel, and lies under build/next/.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

only=
[ "${1-}" != --config ] || { only=-config; shift; }
flavour=${1-}
targets=bzImage
arch=x86
cross=
compiler=gcc
flags=
# Which tree; '' is ours.
tree=
# What the patches touch of mm/.
patched_mm="mm/balloon/ mm/page_alloc.o mm/compaction.o mm/show_mem.o mm/vmstat.o"
# What others' balloons keep their pages with.
lists=mm/balloon_compaction.o
[ "$KERNEL" = 6.12 ] || lists=mm/balloon.o
patched_mm+=" $lists"
# What wins comes last. balloon.config is for the options that only our tree has.
case $flavour in
vanilla)	src=$PRISTINE obj=$BUILD/vanilla/release names="base release" tree=vanilla ;;
upstream-before)
		src=$PRISTINE obj=$BUILD/vanilla/upstream names="base upstream" tree=vanilla ;;
upstream)	src=$BUILD/upstream/linux obj=$BUILD/upstream/objects names="base upstream"
		tree=upstream ;;
release|debug)	src=$LINUX obj=$BUILD/$flavour$ON names="base balloon $flavour"
		if [ "$ON" ]; then
			arch=arm64 cross=$CROSS targets=Image
			# The variant of that name has base pages of 64K.
			names+=" arm64-guest arm64"
			[ "$PAGES" = 64k ] || names+=-$PAGES
		fi ;;
lend)		src=$LINUX obj=$BUILD/lend names="base balloon release lend" ;;
irqsoff)	src=$LINUX obj=$BUILD/irqsoff names="base balloon release irqsoff" ;;
kcsan|rt)	src=$LINUX obj=$BUILD/$flavour names="base balloon debug $flavour" ;;
lint)		src=$LINUX obj=$BUILD/lint names="base balloon debug"
		targets="W=1e C=2 CF=-Wsparse-error mm/balloon/ drivers/virtio/virtio_balloon.o"
		targets+=" drivers/xen/balloon_numa.o drivers/xen/balloon_pv.o"
		targets+=" drivers/xen/balloon_nodes.o arch/x86/xen/vnuma.o" ;;
numa-off|compaction-off|hooks-off)
		src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		targets="$patched_mm drivers/virtio/virtio_balloon.o fs/proc/meminfo.o"
		[ "$flavour" = numa-off ] ||
			targets+=" drivers/xen/ drivers/base/node.o drivers/misc/vmw_balloon.o" ;;
balloon-off)	src=$LINUX obj=$BUILD/$flavour names="base release $flavour"
		targets="mm/ drivers/base/node.o fs/proc/meminfo.o" ;;
nodes-1024)	src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		# Ours and what mm/ has of the patches: no frame of a function may outgrow the stack.
		flags=-Wframe-larger-than=1024
		targets="W=1 $patched_mm"
		targets+=" drivers/virtio/virtio_balloon.o"
		targets+=" drivers/xen/balloon_numa.o drivers/xen/balloon_nodes.o drivers/base/node.o" ;;
i386)		src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		arch=i386
		targets="$patched_mm drivers/virtio/virtio_balloon.o"
		# Newer kernels have no nodes there.
		[ "$KERNEL" != 6.12 ] || targets+=" drivers/base/node.o" ;;
arm64|arm64-4k)	src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		arch=arm64 cross=aarch64-linux-gnu-
		targets="mm/balloon/ mm/vmstat.o $lists drivers/virtio/virtio_balloon.o"
		targets+=" drivers/xen/balloon.o drivers/xen/balloon_numa.o drivers/xen/balloon_nodes.o"
		targets+=" drivers/xen/xen-balloon.o" ;;
ppc64le)	src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		arch=powerpc cross=powerpc64le-linux-gnu-
		targets="mm/balloon/ mm/vmstat.o $lists arch/powerpc/platforms/pseries/cmm.o" ;;
riscv64|s390x|loongarch64)
		src=$LINUX obj=$BUILD/$flavour names="base balloon release $flavour"
		cross=$flavour-linux-gnu- arch=${flavour%64} arch=${arch/s390x/s390}
		targets="$patched_mm drivers/virtio/virtio_balloon.o drivers/base/node.o" ;;
clang)		src=$LINUX obj=$BUILD/$flavour names="base balloon debug" compiler=$CLANG
		need "ld.lld${CLANG#clang}"
		targets="$patched_mm drivers/virtio/virtio_balloon.o drivers/base/node.o"
		targets+=" drivers/xen/balloon.o drivers/xen/balloon_numa.o drivers/xen/balloon_pv.o"
		targets+=" drivers/xen/balloon_nodes.o arch/x86/xen/vnuma.o" ;;
*)		die "usage: build.sh [--config] vanilla | release | debug | irqsoff | kcsan | rt | lend | lint | upstream | upstream-before | numa-off | compaction-off | balloon-off | hooks-off | nodes-1024 | i386 | arm64 | arm64-4k | ppc64le | riscv64 | s390x | loongarch64 | clang" ;;
esac
[ -z "$ON" ] || [[ $flavour == @(release|debug) ]] || die "$flavour is none of ARCH=$ARCH"
fragments=()
for name in $names; do
	for name in "$name" "$name-$KERNEL"; do
		[ ! -e "$TOP/configs/$name.config" ] || fragments+=("$TOP/configs/$name.config")
	done
done
obj+=$only
log=$BUILD/logs/build-$flavour$ON.log

[[ $flavour != upstream* || $KERNEL = next ]] ||
	die "$flavour: patches/upstream is for the newest kernel: KERNEL=next"
need make "$cross$compiler" flex bison bc flock
"$TOP/scripts/tree.sh" $tree
mkdir -p "$obj" "$BUILD/logs"
exec 9> "$obj/.lock"
flock -n 9 || die "another build is at work in ${obj#"$TOP"/}"

# The same sources give the same image, here and in any other clone: that is also what lets
# ccache find its objects again. It looks for them by what the compiler says of headers: to
# preprocess each file first takes a fourth of the time of a build that finds nothing.
export KBUILD_BUILD_TIMESTAMP='Sun Nov 17 00:00:00 UTC 2024' KBUILD_BUILD_USER=balloon \
	KBUILD_BUILD_HOST=localhost LOCALVERSION= \
	CCACHE_BASEDIR=$BUILD CCACHE_DEPEND=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
cc=$cross$compiler
! command -v ccache >/dev/null || cc="ccache $cc"

# Debian's sparse does not know all that the newest kernel's headers use.
tools=()
[ "$KERNEL" = 6.12 ] || tools=("CHECK=$TOP/scripts/sparse-next.sh")

# Where no image comes of it, it is built for its warnings.
[[ $targets == *Image ]] || tools+=("KCFLAGS=-Werror $flags")

# Its assembler and the like go with a compiler.
if [ $compiler = "$CLANG" ]; then
	version=${CLANG#clang}
	tools+=("LLVM=${version:-1}")
fi

kmake() {
	env -u KERNEL make -C "$src" "O=../${obj##*/}" ARCH=$arch CROSS_COMPILE=$cross CC="$cc" "${tools[@]}" -j"$(nproc)" "$@"
}

# Prints NAME=VALUE for each option that the fragments want, the last word on each.
wanted() {
	sed -n 's/^\(CONFIG_[A-Z0-9_]*=[ym]\)$/\1/p; s/^# \(CONFIG_[A-Z0-9_]*\) is not set$/\1=n/p' \
		"${fragments[@]}" | awk -F= '{ last[$1] = $2 } END { for (o in last) print o "=" last[o] }' |
		LC_ALL=C sort
}

# The configuration is made again only if what it is made of has changed: fragments, and the
# Kconfig files of ours or of the patches (their new options would else be asked for).
configure() {
	local id option

	id=$({ cat "${fragments[@]}" "$PRISTINE/Makefile"
	       cat "$BUILD/linux.queue" $(own_files | grep -E '(^|/)Kconfig$' | sed "s|^|$TOP/|"); } 2>/dev/null |
	     sha256sum)
	[ "$(cat "$obj/.fragments" 2>/dev/null)" != "$id" ] || return 0
	{
		kmake tinyconfig
		(cd "$obj" && "$src/scripts/kconfig/merge_config.sh" -m .config "${fragments[@]}")
		kmake olddefconfig
	} > "$BUILD/logs/config-$flavour$ON.log" 2>&1 || {
		tail "$BUILD/logs/config-$flavour$ON.log" >&2
		die "configuring failed: $SAID/logs/config-$flavour$ON.log"
	}
	# A variant lacks much of what base.config wants, and so does another machine.
	case $flavour$ON in
	vanilla|release|debug|irqsoff|kcsan|rt|lend|lint)	;;
	upstream*)	fragments=("$TOP/configs/upstream.config") ;;
	*-arm64-*)	mapfile -t fragments < <(printf '%s\n' "${fragments[@]}" | grep -v /base) ;;
	*)	echo "$id" > "$obj/.fragments"
		return ;;
	esac
	for option in $(wanted | grep -v '=n$'); do
		grep -qx "$option" "$obj/.config" ||
			say "$flavour: $option is wanted, but the kernel has" \
			    "$(grep -E "^(# )?${option%=*}[ =]" "$obj/.config" || echo 'no such option here')"
	done
	echo "$id" > "$obj/.fragments"
}

# progress PID: shows what the log of that make says, until it ends.
progress() {
	local count last=0

	while kill -0 "$1" 2>/dev/null; do
		sleep 1
		count=$(grep -cE '^  (CC|AS|AR|LD)' "$log" || true)
		if [ -t 1 ]; then
			printf '\r%s: %s: %d objects, %d s ' "${0##*/}" "$flavour" "$count" "$SECONDS"
		elif [ $((SECONDS - last)) -ge 30 ]; then
			last=$SECONDS
			say "$flavour: $count objects, $SECONDS s"
		fi
	done
	[ ! -t 1 ] || printf '\r\033[K'
}

# put FILE NAME: a copy that is whole at any time, for guests that boot while a build runs.
put() {
	cmp -s "$1" "$2" && return
	cp "$1" "$2.new"
	mv "$2.new" "$2"
}

configure
[ -z "$only" ] || exit 0

if [[ $targets =~ ^(bzImage|vmlinux|Image)$ ]] && grep -q '=m$' "$obj/.config"; then
	targets+=' modules'
fi
kmake $targets > "$log" 2>&1 < /dev/null &
make_pid=$!
trap 'kill $make_pid 2>/dev/null; wait $make_pid; echo; exit 130' INT TERM
progress $make_pid
if ! wait $make_pid; then
	grep -nE 'error:|warning:|Error [0-9]|undefined reference|ERROR:|No rule' "$log" | head -20 >&2
	die "$flavour failed: ${log#"$TOP"/}"
fi

case $flavour$ON in
vanilla)
	put "$obj/arch/x86/boot/bzImage" "$BUILD/vanilla/bzImage" ;;
release)
	put "$obj/arch/x86/boot/bzImage" "$BUILD/bzImage"
	put "$obj/vmlinux" "$BUILD/vmlinux" ;;
esac
say "$flavour${ON/-/, }: linux $(cat "$obj/include/config/kernel.release"), $SECONDS s"
