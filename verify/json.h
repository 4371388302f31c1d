/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside verify/: a strict reader of one JSON text (RFC 8259) in a buffer, in the order of the text, without
 * allocating: strings are decoded where they stand. A catalog has a million lines, and jansson takes 10 µs to make and free the
 * objects of one; tests/fuzz/fuzz-catalog.c holds this against jansson.
 *
 * Each call returns 0 (or what it says), or -EINVAL with `what` set; after that, no other call is allowed.
 * Every byte is looked at: what is skipped is checked, too. NUL is no character here, not even as an escape.
 */
#ifndef VERIFY_JSON_H
#define VERIFY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"

#define VERIFY_JSON_DEPTH 32 /* of what is skipped */

struct verify_json {
	char *at, *end;
	const char *what; /* what was wrong */
	bool first;	  /* of the object or array that was begun last: no comma is needed */
};

/* TEXT[LEN] must be writable memory, too. */
struct verify_json verify_json_of(char *text, size_t len);

/* An object begins. */
int must_check verify_json_object(struct verify_json *json);
/* 1: its next key, as verify_json_string() gives it; its value follows. 0: the object has ended. */
int must_check verify_json_key(struct verify_json *json, const char **key, size_t *len);
/* An array begins. */
int must_check verify_json_array(struct verify_json *json);
/* 1: an element follows. 0: the array has ended. */
int must_check verify_json_element(struct verify_json *json);

/* NUL-terminated, in the text's buffer, valid as long as that. */
int must_check verify_json_string(struct verify_json *json, const char **string, size_t *len);
/* An integer from 0 to MAX, without fraction or exponent. */
int must_check verify_json_integer(struct verify_json *json, uint64_t max, uint64_t *out);
/* Any value. */
int must_check verify_json_skip(struct verify_json *json);
/* Nothing but blanks follows. */
int must_check verify_json_end(struct verify_json *json);

#endif
