/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * SipHash-1-3 over a flow: who does not know the key cannot aim flows at one slot.
 * Aumasson, Bernstein: SipHash: a fast short-input PRF (INDOCRYPT 2012); one compression and
 * three finalisation rounds, as hash tables in Rust, Python and Linux use it.
 *
 * The messages (sizes in bytes; addresses and ports in network order, the number little endian):
 *   IPv4:   client 4 | client port 2 | protocol 1      =  7, which is one block
 *   IPv6:   client 16 | client port 2 | protocol 1     = 19
 *   sticky: masked client 16 | affinity number 4       = 20
 * The cluster's address and port are left out: each service has slots of its own, and nobody is
 * harmed if a client's flows to two services take the same slot in both.
 */
#ifndef SHUNT_SIPHASH_H
#define SHUNT_SIPHASH_H

#include "maps.h"

struct sip {
	__u64 v0, v1, v2, v3;
};

#define ROTATE(word, bits) (((word) << (bits)) | ((word) >> (64 - (bits))))

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = ROTATE(s->v1, 13) ^ s->v0;
	s->v3 = ROTATE(s->v3, 16) ^ s->v2;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = ROTATE(s->v1, 17) ^ s->v2;
	s->v3 = ROTATE(s->v3, 21) ^ s->v0;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_start(struct sip *s)
{
	s->v0 = hash_key[0] ^ 0x736f6d6570736575ULL;
	s->v1 = hash_key[1] ^ 0x646f72616e646f6dULL;
	s->v2 = hash_key[0] ^ 0x6c7967656e657261ULL;
	s->v3 = hash_key[1] ^ 0x7465646279746573ULL;
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* `tail`: the bytes that fill no word; `length`: of the whole message. */
static __always_inline __u64 sip_end(struct sip *s, __u64 tail, __u64 length)
{
	sip_word(s, tail | length << 56);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
