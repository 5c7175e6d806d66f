# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by series.sh: the files of our own as patches, each of one concern, in the order in which
# they are best read. own_patch SUBJECT FILE... takes the message from standard input. A file that
# none of them names ends the making of the series.
#
# They are built by none but the queue's patches that follow, so that their order is free.

own_patch 'mm/balloon: add the interface of a NUMA-aware balloon' \
	include/linux/balloon_numa.h mm/balloon/internal.h include/trace/events/balloon.h << 'END'
A balloon takes pages from whatever node its worker happens to run on, one
base page at a time: a guest with virtual NUMA loses one node after the
other, and the host's 2M mappings are shattered.

Add what a core needs that tracks a balloon's pages per node, takes and
gives back 2M superframes, and searches nodes in rings of distance, for
every hypervisor: what a backend sees of it, what its files share, and
its tracepoints. Locks and their order are at the top of internal.h.

The core is built, and connected, once all of its files are there.
END

own_patch 'mm/balloon: keep ballooned pages per node and zone' \
	mm/balloon/{node,block,take,superframe,coalesce,lost,foreign,unpopulated}.c \
	mm/balloon/{superframe,movable}.h << 'END'
A refill must free into the very zone that failed, and a node's share must
be known without walking lists. So queues are kept per zone, and counts
per node.

A superframe is taken off the free lists and put back as a whole, as
page_reporting does it: nothing is zeroed, and nothing waits on a per-cpu
list. What is less than 2M comes out of partial blocks, which are found by
their number and kept by fullness: a block that fills up becomes a
superframe. Pages that are lent to map other domains' memory are counted
only. Memory that the guest never had is in the balloon from the first,
and what a host keeps when its device goes is written off.

No path takes what a zone keeps for itself: its high watermark, its lowmem
reserves, and a sixty-fourth of it.
END

own_patch 'mm/balloon: plan what each node shall hold' \
	mm/balloon/{ring,policy,plan}.c << 'END'
Where a node can't give what is asked of it, its nearest neighbours are
the next best, and they get theirs back last. Sort the nodes around each
node by distance, nodes of one distance being a ring, and say what each
node shall hold: targets of nodes are looked for from their nodes
outwards, the others share the rest by a policy.

It is a pure function of a snapshot. What pages were inflated for is not
remembered: what lies where the plan wants it stays, and what has moved
by migration or by an exchange can't make books and pages disagree.
END

own_patch 'mm/balloon: talk to one host at a time' \
	mm/balloon/host.c << 'END'
A host's answers are input: it may take or give less than was asked for,
claim more, refuse, or never answer. Check them in one place, and do to
the queues what they say; pages enter the balloon when the host has
acknowledged them.
END

own_patch "mm/balloon: pursue the host's target" \
	mm/balloon/{worker.c,pursue.c,Kconfig,Makefile} << 'END'
One worker takes and gives back until the host's total is met, to the
page. What the host or the guest can't give now is tried again after 1 s,
2 s, up to 32 s, for as long as the target stands: backends need neither a
timer nor a list.

A plan is carried out batch by batch. Superframes of all nodes come first,
base pages only if these do not suffice. Where targets of nodes move and
the total stands, a batch is given and one taken in turn: the guest needs
no more memory for that, and nothing is reclaimed.
END

own_patch 'mm/balloon: reclaim for the balloon with a brake' \
	mm/balloon/{pressure,hibernate}.c << 'END'
A host may ask for more than is free. Unused page cache and memory that
nobody touches can go; what is in use can't, without ruin. Reclaim as long
as the guest does not miss what it lost, and pause when it does. Before
init runs, take nothing but plainly free memory; and stand back where all
memory is needed, to hibernate or to resume.
END

own_patch 'mm/balloon: migrate base pages, empty fragmented blocks' \
	mm/balloon/{migrate,gather,evacuate}.c << 'END'
Memory that is free in small pieces can't be given in superframes. Have
the worker move what is in use in the cheapest blocks to free pages of the
same node, and take the blocks whole; and when targets are met, do the
same for the guest, in place of the whole blocks that it gave.

Ballooned base pages migrate as they did before, and are counted where
they go. Partial blocks that compaction leaves are put together. A superframe
migrates as a whole, and only if somebody must have its range, to offline it
or for a contiguous allocation: another one takes its place, of the node or
of the nearest that can spare one, or else it is split into base pages.
END

own_patch 'mm/balloon: follow memory that comes and goes' \
	mm/balloon/hotplug.c << 'END'
Nodes that come get their counts and rings, and nodes that go leave them.
END

own_patch 'mm/balloon: refill a zone for the page allocator' \
	mm/balloon/refill.{c,h} << 'END'
While the host permits a guest more memory than it uses, its allocations
should not leave their node for want of it. Give pages of the zone whose
watermark failed, as far as the host's target allows, or in exchange for a
superframe of a farther node; and before somebody is killed, what the host
gives in that case.

What an allocation gets depends on what it may do: nobody waits who must
not, and a host that does not answer is not waited for again.
END

own_patch 'mm/balloon: show and set it in sysfs' \
	mm/balloon/{sysfs,available}.c 'Documentation/ABI/testing/*' << 'END'
Nobody could see which node a balloon's pages came from, nor say which one
should give, or must not. Add counters, a target, a limit, what a node could
give, and the rings to every node's folder, and what concerns all nodes to
/sys/kernel/mm/balloon.
END

own_patch 'mm/balloon: add a self-check and a simulated host' \
	mm/balloon/{debug,sim}.c << 'END'
Real hosts neither refuse, nor lie, nor run out of memory on one node when
a test wants them to. The simulated one does, and notices each breach of
the protocol: it keeps a bit for every frame that it has, and overwrites
what it is given. It is for test kernels only.

The self-check walks all queues and compares them with counters and pages.
END

own_patch 'mm/balloon: add unit tests' 'mm/balloon/tests/*' << 'END'
What is arithmetic or bookkeeping can be tested without a host: rings,
policies, targets, parsers, partial blocks, migration and vacating.
END

own_patch 'tools/testing/balloon: test the core in user space' \
	'tools/testing/balloon/*' << 'END'
Compile all but who asks in user space, as it is, against a small model of
the page allocator and a host that misbehaves, and have random operations,
small cases exhaustively, and a fuzzer compare it with what must hold.
END

own_patch 'selftests/balloon: test the balloon from user space' \
	'tools/testing/selftests/balloon/*' << 'END'
Have the simulated host ask, refuse, answer short and lie, while programs
allocate, move and bind memory, and see that counters, targets and pages
are what they should be.
END

own_patch 'virtio_balloon: add models of several VMMs for tests' \
	drivers/virtio/virtio_balloon_model.c << 'END'
QEMU is not the only host, and what others do differently, or did wrong
for a while, their users' guests meet. Add a device inside the kernel that
reads its rings as Firecracker, cloud-hypervisor, crosvm, Dragonball or
StratoVirt do, overwrites what it is given, and notices pages in use among
it. It is for test kernels only.
END

own_patch 'xen/balloon: add a backend of mm/balloon' \
	drivers/xen/balloon_{numa.c,numa.h,pv.c,nodes.c} include/trace/events/xen_balloon.h << 'END'
Xen honours exactly the virtual node that a guest asks memory on, and
gives and takes extents of 2M; the driver used neither. Add what does,
what keeps PV guests' p2m and direct map, and what reads targets of
virtual nodes from xenstore. The driver calls it in later patches.
END

own_patch 'x86/xen: read the virtual nodes of PV guests' \
	arch/x86/xen/vnuma.c arch/x86/include/asm/xen/vnuma.h << 'END'
Xen says by a hypercall which nodes a PV guest has. Add what asks, and looks
whether the answer fits together. It is called in a later patch.
END

mapfile -t guides < <(own_files | grep '^Documentation/vm/' | in_tree)
own_patch 'Documentation: describe NUMA-aware ballooning' "${guides[@]}" << 'END'
A guide for administrators, and recipes for QEMU, libvirt, Xen and
Prometheus; and one for writers of backends, with a complete example of
one, and for those who change the core.
END

own_patch 'tools: add balloonstat, xl-node-mem and virsh-node-mem' \
	'tools/mm/*' 'tools/xen/*' 'tools/virt/*' 'tools/monitoring/*' << 'END'
balloonstat shows a guest's balloon node by node, and sets targets and
policies. xl-node-mem does so from Xen's dom0, for a guest's virtual
nodes, and virsh-node-mem from a KVM host, through libvirt and QEMU's
guest agent. For Prometheus there are metrics, alert rules and a dashboard.
END
