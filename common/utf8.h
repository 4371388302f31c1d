/* SPDX-License-Identifier: Apache-2.0 */
/* Text from elsewhere: is it UTF-8, and may it be shown? Pure functions, any thread. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the sequence at TEXT (RFC 3629: shortest form, no surrogate, up to U+10FFFF); 0 if there is none. */
size_t utf8_length(const char *text, size_t len);
/* All of TEXT is UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F). */
bool utf8_is_plain(const char *text, size_t len);
/* "?" for each byte of these, in what need not be UTF-8: what is left does not steer a terminal. */
void utf8_make_printable(char *text);

#endif
