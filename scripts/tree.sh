#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Makes the kernel trees under build/ and keeps them up to date:
#
#   tree.sh             build/vanilla/linux as Debian ships it, and build/linux: a copy of it,
#                       our files linked into it, the patch queue applied (with KERNEL=next, under
#                       build/next/)
#   tree.sh vanilla     the first of them only
#   tree.sh upstream    build/next/upstream/linux: the pristine tree with patches/upstream applied, and
#                       nothing else of ours (with KERNEL=next only)
#
# and lets a developer change files that the kernel owns, in build/linux:
#
#   tree.sh edit FILE...  puts files that no patch touches yet under build/linux's git; then
#                         edit, 'git commit' there, one topic a commit
#   tree.sh refresh       writes build/linux's commits back into the patch queue
#
# Each tree is made under another name and renamed when it is complete, so that an interrupted
# run is simply done again. Files whose content stays keep their times: make rebuilds no more
# than what changed.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ "${1-}" = upstream ]; then
	[ "$KERNEL" = next ] || die "patches/upstream is for the newest kernel: KERNEL=next"
	LINUX=$BUILD/upstream/linux
	QUEUE=$TOP/patches/upstream
	SAID+=/upstream
	# Who makes the pristine tree anew has to look at what is in build/linux first.
	"$0" vanilla
fi

# What the trees were made from: their stamps lie beside them.
PRISTINE_STAMP=$BUILD/vanilla/linux.tarball
LINUX_STAMP=$LINUX.tarball
QUEUE_STAMP=$LINUX.queue
# There while the queue's result is being copied in: what git then calls uncommitted is only
# half copied.
INSTALLING=$LINUX.installing

stamp_is() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

make_pristine() {
	local id

	if [ ! -r "$KERNEL_TARBALL" ]; then
		[ -e "$PRISTINE_STAMP" ] && return
		die "no kernel source at $KERNEL_TARBALL: run 'make deps${KERNEL:+ KERNEL=$KERNEL}' or set KERNEL_TARBALL="
	fi
	id=$(stat -Lc '%s %Y' "$KERNEL_TARBALL")
	stamp_is "$PRISTINE_STAMP" "$id" && return
	check_saved
	say "unpacking ${KERNEL_TARBALL##*/}"
	rm -rf "$PRISTINE_STAMP" "$PRISTINE.new"
	mkdir -p "$PRISTINE.new"
	# -m: to objects made from an older package, all of this is new.
	tar -C "$PRISTINE.new" --strip-components=1 -xmf "$KERNEL_TARBALL"
	rm -rf "$PRISTINE"
	mv "$PRISTINE.new" "$PRISTINE"
	echo "$id" > "$PRISTINE_STAMP"
}

copy_pristine() {
	stamp_is "$LINUX_STAMP" "$(cat "$PRISTINE_STAMP")" && return
	say "copying linux $(kernel_version) to $SAID/linux"
	rm -rf "$LINUX_STAMP" "$QUEUE_STAMP" "$LINUX.new"
	cp -a --reflink=auto "$PRISTINE" "$LINUX.new"
	rm -rf "$LINUX" "$INSTALLING"
	mv "$LINUX.new" "$LINUX"
	cp "$PRISTINE_STAMP" "$LINUX_STAMP"
}

queue_id() {
	(cd "$QUEUE" 2>/dev/null || exit 0; queue_patches | xargs -r sha256sum) | sha256sum
}

tracked() { kgit "$LINUX" ls-files; }

# Prints the kernel-owned files that were edited in build/linux behind git's back.
strays() {
	(cd "$LINUX" && find . -path ./.git -prune -o -type f -newer "$LINUX_STAMP" -printf '%P\n') |
		LC_ALL=C sort | LC_ALL=C comm -23 - <(tracked | LC_ALL=C sort) |
		while read -r file; do
			[ ! -e "$PRISTINE/$file" ] || cmp -s "$PRISTINE/$file" "$LINUX/$file" || echo "$file"
		done
}

check_committed() {
	local files

	files=$(kgit "$LINUX" status --porcelain)
	[ -z "$files" ] || die "$SAID/linux has changes that are not committed there:"$'\n'"$files"
	files=$(strays)
	[ -z "$files" ] || die "$SAID/linux has edited files that its git does not know;" \
		"run 'scripts/tree.sh edit' with their names, then commit:"$'\n'"$files"
}

# Ends if work in build/linux is not in the queue: what follows would overwrite it.
check_saved() {
	[ -d "$LINUX/.git" ] && [ ! -e "$INSTALLING" ] || return 0
	check_committed
	if ! kgit "$LINUX" merge-base --is-ancestor queue HEAD ||
	   [ -n "$(kgit "$LINUX" log --format=%s queue..HEAD | sed '/^base: /d')" ]; then
		die "$SAID/linux has commits that the patch queue does not have:" \
			"run 'scripts/tree.sh refresh', or 'git reset --hard queue' there to drop them"
	fi
}

# Applies the queue to copies of the files it touches; only a queue that applies as a whole
# reaches build/linux.
apply_queue() {
	local id patches files scratch=$LINUX.queue.new name

	mapfile -t patches < <(queue_patches)
	for name in "${patches[@]}"; do
		[ -e "$QUEUE/$name" ] || die "the series names $name, which does not exist"
	done
	id=$(queue_id)
	stamp_is "$QUEUE_STAMP" "$id" && return
	check_saved
	say "applying ${#patches[@]} patches"
	patches=("${patches[@]/#/$QUEUE/}")
	mapfile -t files < <(patched_files "${patches[@]}")
	base_repo "$scratch" "${files[@]}"
	for name in "${patches[@]}"; do
		am "$scratch" "$name" || die "$SAID/linux stays as it was"
	done
	kgit "$scratch" tag queue
	install_queue "$scratch"
	echo "$id" > "$QUEUE_STAMP"
}

# install_queue DIR: makes build/linux's files those of DIR's git, and its git that one.
install_queue() {
	local old=() file from

	[ ! -d "$LINUX/.git" ] || mapfile -t old < <(tracked)
	touch "$INSTALLING"
	for file in "${old[@]}" $(kgit "$1" ls-files); do
		from=$1/$file
		[ -e "$from" ] || from=$PRISTINE/$file
		if [ ! -e "$from" ]; then
			rm -f "$LINUX/$file"
		elif ! cmp -s "$from" "$LINUX/$file"; then
			mkdir -p "$(dirname "$LINUX/$file")"
			cp --preserve=mode --remove-destination "$from" "$LINUX/$file"
		fi
	done
	rm -rf "$LINUX/.git"
	mv "$1/.git" "$LINUX/.git"
	kgit "$LINUX" update-index -q --refresh
	rm -rf "$1" "$INSTALLING"
}

# Links rather than copies: an edit is seen by make, and by the next commit, at once.
link_own_files() {
	local file ours

	paste <(own_files) <(own_files | in_tree) | while read -r ours file; do
		[ ! -e "$PRISTINE/$file" ] ||
			die "$file is the kernel's own: change it with a patch in the queue"
		[ -L "$LINUX/$file" ] && [ "$LINUX/$file" -ef "$TOP/$ours" ] && continue
		mkdir -p "$(dirname "$LINUX/$file")"
		ln -srf "$TOP/$ours" "$LINUX/$file"
	done
	(cd "$LINUX" && find $MIRRORED -xtype l) | while read -r file; do
		[ ! -L "$PRISTINE/$file" ] || continue
		rm "$LINUX/$file"
		(cd "$LINUX" && rmdir -p --ignore-fail-on-non-empty "${file%/*}")
	done
}

edit() {
	local file mode blob

	kgit "$LINUX" diff --cached --quiet || die "commit what is staged in build/linux first"
	for file; do
		[ -f "$PRISTINE/$file" ] || die "$file is no file of the kernel's"
		[ -z "$(kgit "$LINUX" ls-files "$file")" ] || continue
		mode=100644
		[ ! -x "$PRISTINE/$file" ] || mode=100755
		blob=$(kgit "$LINUX" hash-object -w "$PRISTINE/$file")
		kgit "$LINUX" update-index --add --cacheinfo "$mode,$blob,$file"
		# The subject tells refresh that this is no change, but a file's beginning.
		kgit "$LINUX" commit -q -m "base: $file"
	done
}

refresh() {
	local commits commit file subject name new=$BUILD/queue.new n=0
	declare -A names

	[ -d "$LINUX/.git" ] || die "there is no $SAID/linux yet"
	check_committed
	# A patch keeps the name it has, whatever its number becomes.
	for name in $(queue_patches); do
		[ -e "$QUEUE/$name" ] || continue
		subject=$(git mailinfo /dev/null /dev/null < "$QUEUE/$name" | sed -n 's/^Subject: //p')
		names[$subject]=${name#[0-9][0-9][0-9][0-9]-}
	done
	rm -rf "$new"
	mkdir -p "$new" "$QUEUE"
	[ ! -e "$QUEUE/series" ] || sed '/^#/!Q' "$QUEUE/series" > "$new/series"
	mapfile -t commits < <(kgit "$LINUX" rev-list --reverse --min-parents=1 HEAD)
	for commit in "${commits[@]}"; do
		subject=$(kgit "$LINUX" log -1 --format=%s "$commit")
		[[ $subject != 'base: '* ]] || continue
		for file in $(kgit "$LINUX" diff-tree -r --name-only --diff-filter=A --no-commit-id "$commit"); do
			[ ! -e "$PRISTINE/$file" ] || die "'$subject' adds $file, which the kernel has:" \
				"run 'scripts/tree.sh edit $file' before changing it"
		done
		name=${names[$subject]:-$(kgit "$LINUX" log -1 --format=%f "$commit").patch}
		n=$((n + 1))
		name=$(printf "%04d-%s" "$n" "$name")
		kgit "$LINUX" format-patch -q -1 -N --zero-commit --no-signature --stdout "$commit" \
			> "$new/$name"
		echo "$name" >> "$new/series"
	done
	rsync -rc --delete --include='*.patch' --include=series --exclude='*' "$new/" "$QUEUE/"
	rm -rf "$new"
	kgit "$LINUX" tag -f queue >/dev/null
	queue_id > "$QUEUE_STAMP"
	say "wrote $n patches"
}

need git tar xz rsync flock
mkdir -p "$BUILD/vanilla" "${LINUX%/*}"
exec 8> "$BUILD/tree.lock"
flock 8

case ${1-} in
vanilla)
	make_pristine ;;
'')
	make_pristine
	copy_pristine
	apply_queue
	link_own_files ;;
upstream)
	copy_pristine
	apply_queue ;;
edit)
	edit "${@:2}" ;;
refresh)
	refresh ;;
*)
	die "usage: tree.sh [vanilla | upstream | edit FILE... | refresh]" ;;
esac
