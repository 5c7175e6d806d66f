/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM balloon

#if !defined(_TRACE_BALLOON_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_BALLOON_H

#include <linux/ktime.h>
#include <linux/tracepoint.h>
#include <trace/events/mmflags.h>

/* One host conversation. @count: base pages asked for, @result: got. */
DECLARE_EVENT_CLASS(balloon_batch,

	TP_PROTO(int node, int origin, unsigned int order, unsigned long count,
		 unsigned long result),

	TP_ARGS(node, origin, order, count, result),

	TP_STRUCT__entry(
		__field(int, node)
		__field(int, origin)
		__field(unsigned int, order)
		__field(unsigned long, count)
		__field(unsigned long, result)
	),

	TP_fast_assign(
		__entry->node = node;
		__entry->origin = origin;
		__entry->order = order;
		__entry->count = count;
		__entry->result = result;
	),

	TP_printk("node=%d origin=%d order=%u count=%lu result=%lu",
		  __entry->node, __entry->origin, __entry->order,
		  __entry->count, __entry->result)
);

DEFINE_EVENT(balloon_batch, balloon_inflate,
	TP_PROTO(int node, int origin, unsigned int order, unsigned long count,
		 unsigned long result),
	TP_ARGS(node, origin, order, count, result)
);

DEFINE_EVENT(balloon_batch, balloon_deflate,
	TP_PROTO(int node, int origin, unsigned int order, unsigned long count,
		 unsigned long result),
	TP_ARGS(node, origin, order, count, result)
);

/* A block became a superframe, or a superframe base pages. */
DECLARE_EVENT_CLASS(balloon_block,

	TP_PROTO(int node, unsigned long pfn),

	TP_ARGS(node, pfn),

	TP_STRUCT__entry(
		__field(int, node)
		__field(unsigned long, pfn)
	),

	TP_fast_assign(
		__entry->node = node;
		__entry->pfn = pfn;
	),

	TP_printk("node=%d pfn=0x%lx", __entry->node, __entry->pfn)
);

DEFINE_EVENT(balloon_block, balloon_coalesce,
	TP_PROTO(int node, unsigned long pfn),
	TP_ARGS(node, pfn)
);

DEFINE_EVENT(balloon_block, balloon_split,
	TP_PROTO(int node, unsigned long pfn),
	TP_ARGS(node, pfn)
);

/* What was moved out of so many blocks to take them whole; @taken: how many. */
/* Blocks whose pages were moved away, and how many became whole. */
DECLARE_EVENT_CLASS(balloon_made_whole,

	TP_PROTO(int node, unsigned int blocks, unsigned int whole),

	TP_ARGS(node, blocks, whole),

	TP_STRUCT__entry(
		__field(int, node)
		__field(unsigned int, blocks)
		__field(unsigned int, whole)
	),

	TP_fast_assign(
		__entry->node = node;
		__entry->blocks = blocks;
		__entry->whole = whole;
	),

	TP_printk("node=%d blocks=%u whole=%u",
		  __entry->node, __entry->blocks, __entry->whole)
);

/* For the balloon. */
DEFINE_EVENT(balloon_made_whole, balloon_evacuate,
	TP_PROTO(int node, unsigned int blocks, unsigned int whole),
	TP_ARGS(node, blocks, whole)
);

/* For the guest. */
DEFINE_EVENT(balloon_made_whole, balloon_mend,
	TP_PROTO(int node, unsigned int blocks, unsigned int whole),
	TP_ARGS(node, blocks, whole)
);

TRACE_EVENT(balloon_migrate,

	TP_PROTO(int from, int to, unsigned long from_pfn, unsigned long to_pfn),

	TP_ARGS(from, to, from_pfn, to_pfn),

	TP_STRUCT__entry(
		__field(int, from)
		__field(int, to)
		__field(unsigned long, from_pfn)
		__field(unsigned long, to_pfn)
	),

	TP_fast_assign(
		__entry->from = from;
		__entry->to = to;
		__entry->from_pfn = from_pfn;
		__entry->to_pfn = to_pfn;
	),

	TP_printk("node=%d to=%d pfn=0x%lx to_pfn=0x%lx",
		  __entry->from, __entry->to, __entry->from_pfn, __entry->to_pfn)
);

/* An allocation took pages back, or could have. */
TRACE_EVENT(balloon_refill,

	TP_PROTO(int node, unsigned int order, gfp_t gfp, int mode, unsigned long pages,
		 u64 began),

	TP_ARGS(node, order, gfp, mode, pages, began),

	TP_STRUCT__entry(
		__field(int, node)
		__field(unsigned int, order)
		__field(unsigned long, gfp)
		__field(int, mode)
		__field(unsigned long, pages)
		__field(u64, latency)
	),

	TP_fast_assign(
		__entry->node = node;
		__entry->order = order;
		__entry->gfp = (__force unsigned long)gfp;
		__entry->mode = mode;
		__entry->pages = pages;
		__entry->latency = began ? ktime_get_mono_fast_ns() - began : 0;
	),

	TP_printk("node=%d order=%u gfp=%s mode=%s pages=%lu latency=%llu ns",
		  __entry->node, __entry->order, show_gfp_flags(__entry->gfp),
		  __print_symbolic(__entry->mode, {1, "credit"}, {2, "exchange"}, {3, "oom"}),
		  __entry->pages, __entry->latency)
);

/* What the host wants, and how far the worker got before it went to rest. */
TRACE_EVENT(balloon_target,

	TP_PROTO(unsigned long target, unsigned long pages, unsigned int retry),

	TP_ARGS(target, pages, retry),

	TP_STRUCT__entry(
		__field(unsigned long, target)
		__field(unsigned long, pages)
		__field(unsigned int, retry)
	),

	TP_fast_assign(
		__entry->target = target;
		__entry->pages = pages;
		__entry->retry = retry;
	),

	TP_printk("target=%lu pages=%lu retry=%us",
		  __entry->target, __entry->pages, __entry->retry)
);

/* In the order of enum balloon_state. */
#define show_balloon_state(state)					\
	__print_symbolic(state,						\
			 {0, "settled"}, {1, "inflating"}, {2, "deflating"}, {3, "moving"}, \
			 {4, "guest-memory"}, {5, "pressure"}, {6, "host-refused"},	\
			 {7, "limit"}, {8, "held"})

/* What the balloon is at has changed; @seconds: how long it was at the former. */
TRACE_EVENT(balloon_state,

	TP_PROTO(int from, int to, unsigned long seconds, unsigned long target,
		 unsigned long pages),

	TP_ARGS(from, to, seconds, target, pages),

	TP_STRUCT__entry(
		__field(int, from)
		__field(int, to)
		__field(unsigned long, seconds)
		__field(unsigned long, target)
		__field(unsigned long, pages)
	),

	TP_fast_assign(
		__entry->from = from;
		__entry->to = to;
		__entry->seconds = seconds;
		__entry->target = target;
		__entry->pages = pages;
	),

	TP_printk("from=%s to=%s seconds=%lu target=%lu pages=%lu",
		  show_balloon_state(__entry->from), show_balloon_state(__entry->to),
		  __entry->seconds, __entry->target, __entry->pages)
);

#endif /* _TRACE_BALLOON_H */

#include <trace/define_trace.h>
