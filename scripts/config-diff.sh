#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Says which options of mm/ Debian's kernel has set and ours lack: config-diff.sh [--help]
#
# Users run Debian's configuration (make deb), tests run ours: what one has and the other lacks is
# code beside the balloon that no test runs. configs/debian.lacks gives a reason for each such option,
# one a line:
#
#	OPTION WHERE REASON
#
# WHERE is 'all', or with commas between them what it is true of: release, debug, 6.12, next. It is an
# error if an option lacks and has no reason, and if one has a reason and lacks no longer.
#
# Debian's configuration is the one of its cloud kernels for amd64: of linux-config-6.12 where that is
# installed, or else fetched into build/debian-config/, without installing it. CONFIG=FILE is another.
# With KERNEL=next it is the newest kernel's. Ends with 75 where the package is not to be had. No kernel
# is built: it takes seconds.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

reasons=configs/debian.lacks
flavours="release debug"
# Options are those that mm/ defines, those that its files ask for, and these, which decide what else
# holds memory, moves it, brings or takes it away, or when the balloon is interrupted.
beside="ACPI_APEI_MEMORY_FAILURE ACPI_HMAT ACPI_HOTPLUG_MEMORY CGROUPS CPUSETS CPUSETS_V1 CRASH_DUMP
	DEBUG_FS DEV_DAX_KMEM DMA_CMA HIBERNATION INTEL_TDX_GUEST KEXEC KEXEC_FILE KVM MEMCG MEMCG_V1
	NUMA_BALANCING PREEMPT PREEMPT_DYNAMIC PREEMPT_LAZY PREEMPT_VOLUNTARY PROC_KCORE PROC_VMCORE
	PSI RANDOMIZE_MEMORY SUSPEND VIRTIO_MEM X86_5LEVEL X86_MCE ZRAM"

case $#${1-} in
0)		;;
1-h|1--help)	sed -n '4,/^$/s/^# \?//p' "$0"
		exit 0 ;;
*)		die "usage: config-diff.sh [--help]" ;;
esac
[ -z "$ON" ] || die "it is of x86 only, not of ARCH=$ARCH"

need make gcc flex bison xzcat
"$TOP/scripts/tree.sh"
version=$KERNEL
[ "$KERNEL" = 6.12 ] || version=$NEXT
package=linux-config-$version
name=usr/src/$package/config.amd64_none_cloud-amd64.xz
dir=$BUILD/debian-config
# A newer package of the kernel may have another.
fetched=$dir/$(kernel_version).xz
log=$BUILD/logs/fetch-config.log
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

fetch() {
	if [ "$KERNEL" = next ]; then
		unpack_debs "$dir/new" "$NEXT_SUITE" amd64 "$package:amd64"
	else
		mkdir -p "$dir/new/root" && (cd "$dir/new" && apt-get download "$package:amd64") &&
			dpkg-deb -x "$dir/new"/*.deb "$dir/new/root"
	fi && mv "$dir/new/root/$name" "$fetched"
}

# Prints the name of Debian's configuration.
debian_config() {
	local there=${CONFIG:-/$name}

	if [ ! -r "$there" ]; then
		[ -z "${CONFIG-}" ] || die "CONFIG=$CONFIG: there is no such file"
		there=$fetched
	fi
	if [ ! -r "$there" ]; then
		rm -rf "$dir"
		mkdir -p "$dir" "$BUILD/logs"
		if ! fetch > "$log" 2>&1; then
			say "$package is not to be had ($SAID/logs/${log##*/}): CONFIG= names a" \
			    "configuration of Debian's kernel of one's own" >&2
			return 75
		fi
		rm -rf "$dir/new"
	fi
	echo "$there"
}

# Prints the options that are set in a configuration on standard input.
is_set() { sed -n 's/^CONFIG_\([A-Z0-9_]*\)=[ym]$/\1/p' | sort; }

# shellcheck disable=SC2016
# Prints the options that one is asked for: the others follow from these.
asked() {
	find "$LINUX" -path "$LINUX/arch/*/*" ! -path "$LINUX/arch/x86/*" -prune -o -name 'Kconfig*' -print0 |
		xargs -0 awk '
		/^[ \t]*(menu)?config[ \t]/ { option = $2; next }
		/^(if|endif|source|choice|endchoice|menu|endmenu|comment)/ { option = "" }
		option && /^[ \t]*(bool|tristate|prompt)[ \t]*["'\'']/ { print option }' | sort -u
}

# shellcheck disable=SC2086
# Prints the options that this is about. Our files are links.
concerned() {
	{
		find -L "$LINUX/mm" -name 'Kconfig*' -exec sed -nE \
			's/^[ \t]*(menu)?config[ \t]+([A-Z0-9_]+)[ \t]*$/\2/p' {} +
		grep -RhoE --include='*.[ch]' --include=Makefile 'CONFIG_[A-Z0-9_]+' "$LINUX/mm" |
			sed 's/^CONFIG_//'
		printf '%s\n' $beside
	} | sort -u
}

# Prints OPTION FLAVOUR for each reason that is one for this kernel.
explained() {
	awk -v kernel="$KERNEL" -v flavours="$flavours" '
	/^#/ || !NF { next }
	{
		kernels = of = ""
		n = split($2, words, ",")
		for (i = 1; i <= n; i++) {
			if (words[i] ~ /^(6\.12|next)$/)
				kernels = kernels " " words[i] " "
			else if (index(" " flavours " ", " " words[i] " "))
				of = of " " words[i]
			else if ($2 != "all")
				bad = 1
		}
		if (bad || NF < 3 || $1 !~ /^[A-Z0-9_]+$/) {
			print FILENAME ":" FNR ": it is OPTION WHERE REASON" > "/dev/stderr"
			exit 1
		}
		if (kernels && !index(kernels, " " kernel " "))
			next
		n = split(of ? of : flavours, words, " ")
		for (i = 1; i <= n; i++)
			print $1, words[i]
	}' "$reasons"
}

export LC_ALL=C
cd "$TOP"
config=$(debian_config)
xzcat -f "$config" | is_set > "$new/debian"
comm -12 <(concerned) <(asked) | comm -12 - "$new/debian" > "$new/wanted"
[ -s "$new/wanted" ] || die "$config has none of the options of mm/"
for flavour in $flavours; do
	"$TOP/scripts/build.sh" --config "$flavour"
	is_set < "$BUILD/$flavour-config/.config" | comm -23 "$new/wanted" - | sed "s/$/ $flavour/"
done > "$new/all"
sort "$new/all" > "$new/lacks"
explained > "$new/all"
sort "$new/all" > "$new/explained"

failed=0
uniq -d "$new/explained" > "$new/twice"
comm -23 "$new/lacks" "$new/explained" > "$new/unknown"
comm -13 "$new/lacks" <(uniq "$new/explained") > "$new/gone"
while read -r option flavour; do
	echo "$option: Debian's kernel has it set, $flavour lacks it, and $reasons does not say why"
	failed=1
done < "$new/unknown"
while read -r option flavour; do
	echo "$option: $reasons says why $flavour lacks it, which is not so"
	failed=1
done < "$new/gone"
while read -r option flavour; do
	echo "$option: $reasons says twice why $flavour lacks it"
	failed=1
done < "$new/twice"
[ $failed = 0 ] || exit 1
cut -d ' ' -f 1 "$new/lacks" | uniq | while read -r option; do
	grep -E "^${option}[[:space:]]" "$reasons"
done
say "$(cut -d ' ' -f 1 "$new/lacks" | uniq | wc -l) of $(wc -l < "$new/wanted") options of mm/ that" \
    "Debian's linux $version has set are lacking, each for a reason"
