/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xen_balloon

#if !defined(_TRACE_XEN_BALLOON_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_XEN_BALLOON_H

#include <linux/tracepoint.h>

#include <xen/interface/memory.h>

/* One hypercall of the balloon's: @nr frames of @order, of which @done was done, or an error. */
TRACE_EVENT(memory_op,

	TP_PROTO(unsigned int op, unsigned int order, unsigned long nr, long done,
		 unsigned int flags),

	TP_ARGS(op, order, nr, done, flags),

	TP_STRUCT__entry(
		__field(unsigned int, op)
		__field(unsigned int, order)
		__field(unsigned long, nr)
		__field(long, done)
		__field(unsigned int, flags)
	),

	TP_fast_assign(
		__entry->op = op;
		__entry->order = order;
		__entry->nr = nr;
		__entry->done = done;
		__entry->flags = flags;
	),

	TP_printk("op=%s order=%u nr=%lu done=%ld mem_flags=%#x",
		  __print_symbolic(__entry->op,
				   { XENMEM_decrease_reservation, "decrease" },
				   { XENMEM_populate_physmap, "populate" },
				   { XENMEM_exchange, "exchange" },
				   { XENMEM_add_to_physmap, "move" },
				   { XENMEM_exchange_gfns, "swap" }),
		  __entry->order, __entry->nr, __entry->done, __entry->flags)
);

#endif /* _TRACE_XEN_BALLOON_H */

#include <trace/define_trace.h>
