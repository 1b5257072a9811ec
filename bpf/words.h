/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The sentences of abi.h, in the order of their enums, for Python to read from the object. */
#ifndef SHUNT_WORDS_H
#define SHUNT_WORDS_H

#include <bpf/bpf_helpers.h>
#include "abi.h"

#define X(name, sentence) sentence "\0"
const char cause_words[] SEC("shunt.words.cause") = SHUNT_CAUSES(X);
const char reason_words[] SEC("shunt.words.reason") = SHUNT_REASONS(X);
#undef X

/* Compilers leave out the enums that no object uses; Python needs them all. */
const struct {
	enum cause cause;
	enum reason reason;
	enum track track;
	enum slot_special slot_special;
	enum member_flags member_flags;
	enum budget_kind budget_kind;
	enum address_flags address_flags;
	enum service_flags service_flags;
} enumerations SEC("shunt.words.enums") = {0};

#endif
