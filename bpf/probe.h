/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the probe's classifier and Python share. */
#ifndef SHUNT_PROBE_H
#define SHUNT_PROBE_H

#include <linux/types.h>

/* A check's mark is PROBE_MARK + the server's number, which is below PROBE_SERVERS. */
enum probe_marks {
	PROBE_SERVERS = 0x10000,
	PROBE_MARK = 0x53480000, /* "SH" */
};

/* The first bytes of a frame to a server, and the interface that it leaves by. */
struct probe_way {
	__u8 server[6];
	__u8 own[6];
	__u32 ifindex;
};

#endif
