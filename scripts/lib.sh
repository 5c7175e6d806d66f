# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Sourced by the other scripts: where things lie, how to speak, how to end.

TOP=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
# Which kernel: 6.12, or 'next', the newest that Debian packages. What is made for the latter lies in
# a folder of its own; what concerns no kernel is shared.
KERNEL=${KERNEL:-6.12}
NEXT=7.3				# the one that patches/linux-next is for
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
