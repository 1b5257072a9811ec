/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Everything that the kernel's programs and Python share, and the only definition of it:
 * Python takes the layouts, the enums and their sentences from the compiled object.
 *
 * Rules that every struct here keeps:
 * - no implicit padding, so that keys compare byte by byte;
 * - what changes while packets pass lies within one aligned word, so that no packet sees half of
 * it;
 * - addresses are 16 bytes in network order, IPv4 mapped (RFC 4291, section 2.5.5.2).
 */
#ifndef SHUNT_ABI_H
#define SHUNT_ABI_H

#include <linux/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Shunt's maps and hashes are laid out for little-endian machines"
#endif

/* Raised when a program of an older release could not work with newer maps, or the reverse. */
#define SHUNT_ABI_VERSION 3

/*
 * How every packet ends: exactly one of these, each with one sentence for the operator.
 * The name's first word says what became of the packet.
 */
#define SHUNT_CAUSES(X)                                                                            \
	X(forwarded, "A request went to its server: what the dispatcher is for.")                  \
	X(forwarded_icmp_error, "An ICMP error went to the server of the flow that it is about.")  \
	X(forwarded_fragment, "A later fragment followed the first one to its server.")            \
	X(answered_arp, "An ARP request for a cluster address was answered.")                      \
	X(answered_nd, "A neighbour solicitation for a cluster address was answered.")             \
	X(answered_ping, "A ping to a cluster address was answered.")                              \
	X(answered_reset, "A packet that no server can take was answered with a TCP reset.")       \
	X(passed_not_ip, "Neither IP nor ARP; the host's own business.")                           \
	X(passed_arp, "ARP that does not ask for a cluster address; the host's own business.")     \
	X(passed_not_ours, "IP for no cluster address; the host's own business.")                  \
	X(passed_other_mac, "Sent to another machine's MAC or to many; not a request to us.")      \
	X(passed_truncated, "Cut off or malformed before its addresses; the host may complain.")   \
	X(passed_no_headers, "Its driver hides its headers from the program: set mode: generic.")  \
	X(passed_claim, "Another machine claims a cluster address: find it, it steals traffic.")   \
	X(passed_unknown_port, "Came in by an interface that the dispatcher does not serve.")      \
	X(dropped_no_service, "For a cluster address, but no service has that port.")              \
	X(dropped_protocol, "For a cluster address, but neither TCP, UDP nor ICMP.")               \
	X(dropped_malformed, "For a cluster address, cut off, nonsense, or with a wrong sum.")     \
	X(dropped_no_server, "For a service that has no server to send to.")                       \
	X(dropped_no_mac, "For a server whose MAC address is not known.")                          \
	X(dropped_no_device, "For a server behind an interface that cannot send.")                 \
	X(dropped_early_fragment, "A later fragment came before the first one, or long after.")    \
	X(dropped_icmp, "ICMP to a cluster address: no whole ping, and not about a known flow.")   \
	X(dropped_no_reset, "For no server that is up, in a form that no reset can answer.")       \
	X(dropped_loop, "Sent back by the server that it was for: look at that server's alias.")   \
	X(dropped_own, "A server's own request that would come back to it: it lacks the alias.")   \
	X(dropped_martian, "A question from an address that no packet may come from.")             \
	X(dropped_ping_rate, "A ping beyond the number that is answered in a second.")

enum cause {
#define X(name, sentence) CAUSE_##name,
	SHUNT_CAUSES(X)
#undef X
	    CAUSES
};

/* Why a packet's server was chosen; `shunt trace` prints the sentence. */
#define SHUNT_REASONS(X)                                                                           \
	X(none, "no server was chosen")                                                            \
	X(settled, "the slot is settled: its server takes every flow")                             \
	X(untracked, "the service remembers no flows: the slot's server takes it")                 \
	X(exception, "the flow is remembered as an exception: it keeps its server")                \
	X(affinity, "the client is remembered: affinity keeps it on its server")                   \
	X(new_flow, "a new connection in a slot that changed hands: the new server, remembered")   \
	X(new_flow_refused, "a new connection that could not be remembered: the elder server")     \
	X(elder,                                                                                   \
	  "an unknown flow in a slot that changed hands: older than the change, so the elder")     \
	X(elder_gone, "an unknown flow whose elder server is gone: the slot's server")             \
	X(udp_old, "an unknown UDP flow soon after the change: taken for an old one, remembered")  \
	X(udp_old_refused,                                                                         \
	  "an unknown UDP flow soon after the change, not remembered: the elder, as before")       \
	X(udp_new, "an unknown UDP flow long after the change: a new one, remembered")             \
	X(udp_elder_down, "an unknown UDP flow whose elder is down: the new server, remembered")   \
	X(affinity_moved, "the client's server is down, and its flows move: the slot's server")    \
	X(recorded, "a flow seen for the first time; the service remembers all of them")           \
	X(recorded_refused, "a flow that could not be remembered: the slot's server, as it says")  \
	X(first_fragment, "the first fragment of this packet went there")

enum reason {
#define X(name, sentence) REASON_##name,
	SHUNT_REASONS(X)
#undef X
	    REASONS
};

struct address {
	__u64 halves[2];
};

/* Service: (cluster address, protocol, port). Port 0: any; address 0.0.0.0 or ::: any. */
/* IPv4 has a key of its own: hashing and comparing 8 bytes takes half the time of 24. */
struct service4_key {
	__u8 address[4];
	__be16 port;
	__u8 protocol;
	__u8 zero;
};

struct service6_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 zero[5];
};

enum track { TRACK_AUTO, TRACK_ALL, TRACK_NONE };

struct service {
	__u32 number;	    /* names the service in exceptions and affinities */
	__u32 slots_base;   /* its slots are slots[slots_base .. slots_base + slots_mask] */
	__u32 slots_mask;   /* number of slots less one; a power of two less one */
	__u32 members_base; /* its members are members[members_base + local number] */
	__u32 members_size; /* so many from there on are its own */
	__u32 udp_idle;	    /* seconds after a change in which an unknown UDP flow is an old one */
	__u32 sticky;	    /* seconds of client affinity; 0: none */
	__u32 affinity;	    /* services with one number here share affinities */
	enum track track;
	__u32 flags;  /* enum service_flags */
	__u32 before; /* its flows may still be remembered under this number, too; 0: none */
	__u32 zero;
	struct address sticky_mask;
};

enum service_flags {
	SERVICE_RESET = 1, /* while it has no server, TCP is answered with a reset */
};

/*
 * A slot: which server takes the flows that hash into it.
 * `elder` is the server before the change that is not settled yet; packets of flows that are
 * no exceptions belong to it. One word: current and elder always belong together.
 */
struct slot {
	__u16 current; /* local number, or SLOT_NONE */
	__u16 elder;   /* local number, or SLOT_SETTLED or SLOT_GONE */
};

/* The array's elements take 8 bytes anyway; slot i is in pair i / 2. */
struct slot_pair {
	struct slot slots[2];
};

enum slot_special {
	SLOT_NONE = 0xffff,    /* current: no server */
	SLOT_SETTLED = 0xffff, /* elder: the slot has not changed hands, or has settled since */
	SLOT_GONE = 0xfffe,    /* elder: not settled, but the elder is gone for good */
};

/* When a slot changed hands, and when its elder was last needed; seconds of the coarse clock. */
struct sight {
	__u32 since;
	__u32 seen;
};

enum member_flags {
	MEMBER_READY = 1, /* the MAC is known */
	MEMBER_MOVE = 2,  /* down or removed: its flows go to the slot's server */
	MEMBER_RESET = 4, /* down: its TCP flows are answered with a reset */
	MEMBER_AVOID = 8, /* no new connections, not even of clients with affinity */
	MEMBER_DOWN = 16, /* does not answer: only what is known to be its own flow goes there */
};

/* A server of a service. The first word changes at once. */
struct member {
	__u8 mac[6];
	__u16 flags;		/* enum member_flags */
	__u32 ifindex;		/* the interface towards the server */
	__u32 server;		/* the server's number, equal in all services */
	struct address address; /* the server's own address: its identity */
};

/* Traffic of a member; per CPU. */
struct tally {
	__u64 packets;
	__u64 bytes;  /* whole frames, without the checksum */
	__u64 opened; /* SYNs without ACK */
	__u64 closed; /* FINs and RSTs from the client */
	__u64 loops;  /* packets that it sent back to us */
};

/* A flow that must not follow its slot. */
struct flow_key {
	struct address client;
	struct address cluster;
	__be16 client_port;
	__be16 port;
	__u8 protocol;
	__u8 zero[3];
};

struct flow {
	__u32 service; /* service.number */
	__u32 hash;    /* low half of the flow's hash: with the service's mask, its slot */
	__u32 seen;    /* coarse clock, seconds */
	__u16 member;  /* local number */
	__u16 closed;  /* a FIN or RST has been seen, and no SYN since */
};

/* A client's affinity: masked address, and which services share it. */
struct affinity_key {
	struct address client;
	__u32 affinity;
	__u32 zero;
};

struct affinity {
	__u32 seen;
	__u32 hash;
	__u16 member;
	__u16 zero;
};

/* Of which packet a fragment is. */
struct fragment_key {
	struct address client;
	struct address cluster;
	__u32 id;
	__u8 protocol;
	__u8 zero[3];
};

/* Where the first fragment of a packet went, and what only it says: protocol and port. */
struct fragment {
	__u32 service; /* service.number */
	__u32 seen;    /* coarse clock, seconds */
	__u16 member;  /* local number */
	__be16 port;
	__u8 protocol;
	__u8 zero[3];
};

/* Addresses that the program must know. */
enum address_flags {
	ADDRESS_CLUSTER = 1,   /* a cluster address */
	ADDRESS_ACTIVE = 2,    /* this dispatcher answers ARP, solicitations and pings for it */
	ADDRESS_BROADCAST = 8, /* of a subnet of the host's: nothing comes from there */
	ADDRESS_HOST = 4, /* the host's own; like the others, not for services for any cluster */
};

/* An interface that the program serves; indexed by ifindex. */
struct port {
	__u8 mac[6];
	__u16 enabled;
};

/* What the control plane may change while packets pass; one element. */
struct settings {
	__u64 clock_offset;    /* nanoseconds added to the coarse clock (tests move time with it) */
	__u32 clock_stopped;   /* the clock is its offset, and stands (tests) */
	__u32 settling;	       /* slots are being settled: no flow may begin at an elder */
	__u32 exceptions_rate; /* remembered anew of each kind, per second and CPU */
	__u32 wildcards;       /* some service is for any cluster */
	__u32 trace_ifindex;   /* where a traced packet is said to come in */
	__u32 newcomers;       /* by the program: when it last remembered one; 0: never */
};

/* Pings that are answered, per second and CPU; who asks for more is told by silence. */
#define PINGS_RATE 1000

/* What is remembered or answered, each at a rate of its own: none uses up another's. */
enum budget_kind {
	BUDGET_FLOWS,	   /* flows seen for the first time */
	BUDGET_NEWCOMERS,  /* newcomers that have spoken again, and so become flows */
	BUDGET_AFFINITIES, /* clients */
	BUDGET_PINGS,	   /* pings answered */
	BUDGETS
};

/* So many had in this second, and so many refused for the rate; by kind, per CPU. */
struct budget {
	__u32 second;
	__u32 used;
	__u64 refused;
	__u64 recorded;
};

/* What `shunt trace` is told about one packet. */
struct decision {
	__u64 hash;
	__u32 cause;
	__u32 reason;
	__u32 service;	   /* service.number */
	__u32 slot;	   /* within the service */
	struct slot state; /* as it was */
	__u16 member;	   /* local number, or SLOT_NONE */
	__u16
	    matched; /* 0 no service; 1 exact; 2 any port; 3 any cluster; 4 any cluster, any port */
	__u8 mac[6];
	__u16 flags; /* the member's */
};

#endif
