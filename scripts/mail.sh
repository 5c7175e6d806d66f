#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Writes the series for 'git send-email' into build/series/: numbered, with the cover letter of
# patches/linux-6.12/cover-letter, and whom to send it to in build/series/recipients; with KERNEL=next
# the newest kernel's, into build/next/series/.
#
# Nothing is sent.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=$BUILD/series
plain=$BUILD/series.plain
scratch=$BUILD/series.mail

# The kernel's own list of who looks after the files that are touched. Maintainers and reviewers
# get it, lists get a copy.
recipients() {
	local line who role

	cat <<- 'END'
		# scripts/get_maintainer.pl names these; look whom it is sent to before it is:
		# git send-email --8bit-encoding=UTF-8 \
		#     $(sed -n 's/^\(To\|Cc\): \([^ ]*\).*/--\L\1\E=\2/p' recipients) *.patch
	END
	(cd "$LINUX" && perl scripts/get_maintainer.pl --nogit --nogit-fallback --nofixes --roles \
		"$plain"/*.patch) | while read -r line; do
		# 'NAME <ADDRESS> (ROLE:PART)' or 'ADDRESS (moderated list:PART)'
		who=${line%% (*}
		role=${line#"$who"}
		who=${who##*<}
		who=${who%>}
		case $role in
		*list*)	echo "Cc: $who$role" ;;
		*)	echo "To: $who$role" ;;
		esac
	done
}

need git perl
"$TOP/scripts/tree.sh"
"$TOP/scripts/series.sh" "$plain"
mapfile -t files < <(patched_files "$plain"/*.patch)
base_repo "$scratch" "${files[@]}"
kgit "$scratch" tag kernel
for patch in "$plain"/*.patch; do
	am "$scratch" "$patch" || die "the series does not apply"
done
kgit "$scratch" config branch.main.description "$(cat "$QUEUE/cover-letter")"
mkdir -p "$out" "$BUILD/logs"
rm -f "$out"/*.patch
date=$(git -C "$TOP" log -1 --format=%cI 2>/dev/null || echo '2024-11-17T00:00:00Z')
GIT_COMMITTER_DATE=$date kgit "$scratch" format-patch -q -n --subject-prefix='PATCH RFC' \
	--cover-letter --cover-from-description=subject --zero-commit --no-signature \
	-o "$out" kernel..main
recipients > "$out/recipients"
rm -rf "$scratch" "$plain"
"$TOP/scripts/check-series.sh" "$out"

# A dry run takes the mails apart as a real one does. It has one line for each.
mails=("$out"/*.patch)
if [ -x "$(git --exec-path)/git-send-email" ] && perl -MMail::Address -e 1 2>/dev/null; then
	git send-email --dry-run --quiet --confirm=never --suppress-cc=all --8bit-encoding=UTF-8 \
		--from=from@example.org --to=to@example.org "${mails[@]}" \
		> "$BUILD/logs/send-email.log" 2>&1 < /dev/null || true
	[ "$(grep -c '^Dry-Sent' "$BUILD/logs/send-email.log")" = ${#mails[@]} ] || {
		tail "$BUILD/logs/send-email.log" >&2
		die "git send-email would not take it"
	}
	say "git send-email would take it"
else
	say "not tried with git send-email: Debian has it in git-email, with libmailtools-perl"
fi
say "$SAID/series: ${#mails[@]} mails, $(grep -c '^[TC]' "$out/recipients") recipients"
