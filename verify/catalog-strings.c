/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strings of an entry, and how URLs are made short: most of one is the digest, the name, or the first URL again. For
 * these stands a byte that no URL has.
 */
#include "verify/catalog-internal.h"

#include <string.h>

enum {
	PACKED_SHA256 = 1,
	PACKED_FSVERITY,
	PACKED_NAME, /* the first */
	PACKED_URL,  /* the first */
	PACKED_END,
};

struct known {
	const char *text;
	size_t len;
};

/* What ENTRY's URLs may have in them; HEX gets the digests. */
static void known_digests(const struct digest_pair *digests, struct known known[PACKED_END],
			  char hex[2][DIGEST_HEX_SIZE])
{
	memset(known, 0, PACKED_END * sizeof(*known));
	if (digests->has_sha256) {
		digest_to_hex(&digests->sha256, hex[0]);
		known[PACKED_SHA256] = (struct known){hex[0], DIGEST_HEX_SIZE - 1};
	}
	if (digests->has_fsverity) {
		digest_to_hex(&digests->fsverity, hex[1]);
		known[PACKED_FSVERITY] = (struct known){hex[1], DIGEST_HEX_SIZE - 1};
	}
}

size_t catalog_url_pack(const struct catalog_draft *draft, const struct catalog_text *url,
			char *out)
{
	struct known known[PACKED_END];
	char hex[2][DIGEST_HEX_SIZE];
	size_t used = 0;

	known_digests(&draft->digests, known, hex);
	if (draft->n_names > 0)
		known[PACKED_NAME] = (struct known){draft->names[0].text, draft->names[0].len};
	if (draft->n_urls > 0 && url != &draft->urls[0])
		known[PACKED_URL] = (struct known){draft->urls[0].text, draft->urls[0].len};
	for (size_t i = 0; i < url->len;) {
		int k = PACKED_END - 1;

		for (; k > 0; k--)
			if (known[k].len > 0 && known[k].len <= url->len - i &&
			    !memcmp(url->text + i, known[k].text, known[k].len))
				break;
		out[used++] = k > 0 ? (char)k : url->text[i];
		i += k > 0 ? known[k].len : 1;
	}
	out[used] = '\0';
	return used;
}

const char *catalog_string(const struct verify_catalog *catalog, const struct catalog_entry *entry,
			   unsigned int i)
{
	const char *string = catalog->strings + entry->strings;

	while (i-- > 0)
		string += strlen(string) + 1;
	return string;
}

/* OUT is as long as it was before it was packed, which is VERIFY_URL_MAX at most. */
static char *unpack(const struct known *known, const char *packed, char *out)
{
	for (; *packed; packed++) {
		const struct known *k =
			(unsigned char)*packed < PACKED_END ? &known[(int)*packed] : NULL;

		if (k && *packed == PACKED_URL) {
			out = unpack(known, k->text, out);
		} else if (k) {
			memcpy(out, k->text, k->len);
			out += k->len;
		} else {
			*out++ = *packed;
		}
	}
	return out;
}

const char *catalog_url_unpack(const struct verify_catalog *catalog,
			       const struct catalog_entry *entry, unsigned int i,
			       char out[VERIFY_URL_MAX + 1])
{
	const struct digest_pair digests = {entry->has_sha256, entry->has_fsverity, entry->sha256,
					    entry->fsverity};
	struct known known[PACKED_END];
	char hex[2][DIGEST_HEX_SIZE];

	known_digests(&digests, known, hex);
	known[PACKED_NAME].text = catalog->strings + entry->strings;
	known[PACKED_NAME].len = strlen(known[PACKED_NAME].text);
	known[PACKED_URL].text = catalog_string(catalog, entry, entry->n_names);
	*unpack(known, catalog_string(catalog, entry, entry->n_names + i), out) = '\0';
	return out;
}
