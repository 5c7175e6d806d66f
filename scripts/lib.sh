# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Sourced by the other scripts: where things lie, how to speak, how to end.

TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
# Which kernel: 6.12, or 'next', the newest that Debian packages. What is made for the latter lies in
# a folder of its own; what concerns no kernel is shared.
KERNEL=${KERNEL:-6.12}
NEXT=7.3				# the one that patches/linux-next is for
NEXT_SUITE=trixie-backports		# where Debian has it
SHARED=$TOP/build
case $KERNEL in
6.12)	BUILD=$SHARED
	tarball=/usr/src/linux-source-6.12.tar.xz ;;
next)	BUILD=$SHARED/next
	tarball=$BUILD/linux-source-$NEXT.tar.xz ;;
*)	echo "${0##*/}: KERNEL=$KERNEL: it is 6.12 or next" >&2
	exit 2 ;;
esac
export KERNEL
PRISTINE=$BUILD/vanilla/linux		# as Debian ships it
LINUX=$BUILD/linux			# with our files and the patch queue
QUEUE=$TOP/patches/linux-$KERNEL
KERNEL_TARBALL=${KERNEL_TARBALL:-$tarball}
SAID=${BUILD#"$TOP"/}			# as messages name it
# Which machine: x86, or arm64 with base pages of PAGES. What is made for the latter has that behind its
# name, the flavour's or whatever it is.
PAGES=${PAGES:-4k}
case ${ARCH:-x86} in
x86|x86_64|amd64)
	ON= CROSS=
	if [ "$PAGES" != 4k ]; then
		echo "${0##*/}: PAGES=$PAGES: base pages are 4k but with ARCH=arm64" >&2
		exit 2
	fi ;;
arm64)	ON=-arm64-$PAGES CROSS=aarch64-linux-gnu-
	if [[ $PAGES != @(4k|64k) ]]; then
		echo "${0##*/}: PAGES=$PAGES: it is 4k or 64k" >&2
		exit 2
	fi ;;
*)	echo "${0##*/}: ARCH=$ARCH: it is x86 or arm64" >&2
	exit 2 ;;
esac
# Debian's packages for the programs of such a guest, unpacked.
ARM64_ROOT=$SHARED/arm64-root

# The compiler beside gcc. What Debian 12 calls so is too old for the newest kernel; it has this one, too.
CLANG=clang
[ "$KERNEL" = 6.12 ] || CLANG=clang-19

# The folders of this repository that mirror the kernel tree.
MIRRORED="mm include drivers tools Documentation arch"

# A git hook, or a make with variables on its command line, may have started
# us: neither's settings may reach the git and the kernel make that we start.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE MAKEFLAGS MFLAGS MAKEOVERRIDES

say() { echo "${0##*/}: $*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

# need TOOL...: ends unless every tool is there.
need() {
	local tool

	for tool; do
		command -v "$tool" >/dev/null || die "$tool is missing: run 'make deps'"
	done
}

# The archive that this machine's own packages come from.
debian_archive() {
	apt-get indextargets --format '$(LABEL) $(SITE)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian //p' | head -n 1
}

# unpack_debs DIR SUITE ARCHITECTURE PACKAGE...: unpacks packages of that archive in DIR/root. The
# machine's own settings of apt stay as they are, and nothing is installed.
unpack_debs() {
	local dir=$1 suite=$2 keys=/usr/share/keyrings/debian-archive-keyring.gpg deb
	local apt=(-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		   -o "Dir::State::Lists=$dir/lists" -o Dir::State::Status=/dev/null
		   -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root
		   -o "APT::Architecture=$3" -o "APT::Architectures::=$3")

	shift 3
	mkdir -p "$dir"/{lists,cache/archives}/partial "$dir/root"
	echo "deb [signed-by=$keys] $(debian_archive) $suite main" > "$dir/sources.list"
	apt-get "${apt[@]}" update && (cd "$dir" && apt-get "${apt[@]}" download "$@") || return
	for deb in "$dir"/*.deb; do
		dpkg-deb -x "$deb" "$dir/root" || return
	done
}

# Prints the files of ours that belong into the kernel tree, without editors'
# leftovers. Not asked of git: a file counts before it is added.
own_files() {
	(cd "$TOP" && for dir in $MIRRORED; do
		[ ! -d "$dir" ] || find "$dir" -type f ! -name '*~' ! -name '.*.sw?'
	done) | LC_ALL=C sort
}

# Prints the name in the kernel tree of each file of ours on standard input. The newest kernel's
# guides lie where others on mm do.
in_tree() {
	if [ "$KERNEL" = next ]; then
		sed 's|^Documentation/vm/balloon_core|Documentation/mm/balloon_core|
		     s|^Documentation/vm/|Documentation/admin-guide/mm/|'
	else
		cat
	fi
}

# Prints the names of the patches in the order of the series.
queue_patches() {
	[ ! -e "$QUEUE/series" ] || sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$QUEUE/series"
}

# patched_files PATCH...: prints the files that these patches touch.
patched_files() {
	[ $# = 0 ] || git apply --numstat "$@" | cut -f3 | LC_ALL=C sort -u
}

# kgit DIR ARG...: git in DIR, the same for everyone, whatever their settings.
kgit() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
	git -C "$1" -c user.name='NUMA balloon developers' -c user.email=balloon@localhost \
		-c init.defaultBranch=main -c core.abbrev=12 -c advice.detachedHead=false "${@:2}"
}

# base_repo DIR FILE...: a new git repository in DIR whose first commit holds
# these files as they are in the pristine tree; those that are not there are
# for a patch to create.
base_repo() {
	local dir=$1 file

	shift
	rm -rf "$dir"
	mkdir -p "$dir"
	kgit "$dir" init -q
	# In a kernel tree all but the touched files is none of git's business.
	echo '*' > "$dir/.git/info/exclude"
	for file; do
		[ -f "$PRISTINE/$file" ] || continue
		mkdir -p "$(dirname "$dir/$file")"
		cp -p "$PRISTINE/$file" "$dir/$file"
		kgit "$dir" add -f "$file"
	done
	kgit "$dir" commit -q --allow-empty -m "linux $(kernel_version)"
}

# am DIR PATCH: applies one patch there, or shows what did not fit and fails.
am() {
	local dir=$1 patch=$2 message

	message=$(kgit "$dir" am -q "$patch" 2>&1) && return
	kgit "$dir" am --abort
	echo "${patch##*/} does not apply to linux $(kernel_version):"
	kgit "$dir" apply --reject "$patch" >/dev/null 2>&1 || true
	if [ -n "$(find "$dir" -name '*.rej')" ]; then
		find "$dir" -name '*.rej' -exec cat {} +
	else
		echo "$message"
	fi | sed 's/^/    /'
	return 1
} >&2

kernel_version() {
	sed -n 's/^VERSION = //p; s/^PATCHLEVEL = /./p; s/^SUBLEVEL = /./p' "$PRISTINE/Makefile" |
		tr -d '\n'
}
