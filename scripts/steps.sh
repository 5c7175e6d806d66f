#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks that a kernel can be built and has a balloon after each patch of the queue, for those who
# bisect: steps.sh [WORD]...
#
# With WORDs, only patches whose names have one of them. Each kernel is configured as release, and
# built in build/steps/ out of the one after it.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

dir=$BUILD/steps
log=$BUILD/logs/steps.log
failed=0

kmake() {
	env -u KERNEL make -C "$dir/linux" O=../release CC="ccache gcc" -j"$(nproc)" "$@"
}

# What the host sees of a guest of four nodes, with and without the queue for ranges.
balloons() {
	PYTHONPATH=$TOP/scripts python3 - "$dir/release/arch/x86/boot/bzImage" << 'EOP'
import sys
import time
from guest import Guest, MIB
from pattern import Pattern

for device in {}, {'free-page-reporting': True}:
    with Guest(nodes=[512] * 4, kernel=sys.argv[1], balloon=device, name='steps') as guest:
        pattern = Pattern(guest, 256, '--interleave')
        for size in 768 * MIB, 100 * MIB, 900 * MIB, 0:
            guest.set_balloon(size)
            until = time.monotonic() + 120
            while guest.actual() != size:
                if time.monotonic() > until:
                    sys.exit(f'{guest.actual() // MIB} MiB, not {size // MIB}')
                time.sleep(0.1)
            pattern.verify()
        pattern.stop()
        if guest.warnings():
            sys.exit('\n'.join(guest.warnings()))
EOP
}

need git make ccache python3 rsync
"$TOP/scripts/build.sh" release
"$TOP/scripts/initramfs.sh" release
mkdir -p "$dir"
rm -rf "$dir/linux"
# Our files are links out of there.
rsync -a --copy-unsafe-links "$LINUX/" "$dir/linux/"
[ -e "$dir/release/vmlinux" ] || cp -a "$BUILD/release" "$dir/"
export KBUILD_BUILD_TIMESTAMP='Sun Nov 17 00:00:00 UTC 2024' KBUILD_BUILD_USER=balloon \
	KBUILD_BUILD_HOST=localhost LOCALVERSION= CCACHE_BASEDIR=$dir

: > "$log"
# From the last one to the first: what is built is the last.
base=$(kgit "$dir/linux" rev-list --max-parents=0 HEAD)
for commit in $(kgit "$dir/linux" log --format=%H "$base..HEAD"); do
	name=$(kgit "$dir/linux" log -1 --format=%s "$commit")
	[ $# = 0 ] || grep -qiE "$(IFS='|'; echo "$*")" <<< "$name" || continue
	kgit "$dir/linux" checkout -q "$commit"
	# Options come and go with their patches.
	cp "$BUILD/release/.config" "$dir/release/.config"
	began=$SECONDS said=
	if kmake olddefconfig bzImage >> "$log" 2>&1 < /dev/null && said=$(balloons 2>&1); then
		echo "ok    $name: $((SECONDS - began)) s"
	else
		echo "FAIL  $name"
		{
			grep -nE 'error:|Error [0-9]|undefined reference' "$log" | tail -n 5
			echo "$said" | tail -n 5
		} | sed 's/^/      /'
		failed=1
	fi
done
exit $failed
