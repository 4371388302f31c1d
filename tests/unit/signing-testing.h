/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of signatures and catalogs share: files in memory, and what minisign 0.11 made (`minisign -G -W`) and signed:
 * `yes weightfs | head -c 1000 >data`.
 */
#ifndef TESTS_UNIT_SIGNING_TESTING_H
#define TESTS_UNIT_SIGNING_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "common/io.h"
#include "verify/minisign.h"

#define KNOWN_KEY    "RWR1LVN7KNLkFpLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9nFfA"
#define KNOWN_KEY_ID "16E4D2287B532D75"
#define KNOWN_PUB    "untrusted comment: minisign public key " KNOWN_KEY_ID "\n" KNOWN_KEY "\n"
#define KNOWN_SECRET                                                                               \
	"untrusted comment: minisign encrypted secret key\n"                                       \
	"RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAdS1TeyjS"         \
	"5BaMlIvQfC6Ff0roSukeluFL3KtxiEbdR70PkU1f0w2chZLq63tEIoWWqIaiOGcvQ2ZSFIwKki7EoDZJhLp9"     \
	"nFfAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
/* The password is "x". */
#define KNOWN_LOCKED                                                                               \
	"untrusted comment: minisign encrypted secret key\n"                                       \
	"RWRTY0Iy3dB9xSu9m/3Cq3owpWVLIwMlk9uZOVT/IhIMpPKgd30AAAACAAAAAAAAAEAAAAAAs8OQ7jEM741b"     \
	"GcfcwJ/mR5EwrrSVUXBxkYrbo4NBFp1w5wUCMZqg2vsv1tIJgRuZF/Cs3QD4hsCGhcq4/hPYykitQilOEj88"     \
	"FRslaOkTaTmmAKxli5fJdpEtYFIXKaU1deW2yizs3DI=\n"
#define KNOWN_HASHED_COMMENT "timestamp:1700000000\tfile:data\thashed"
#define KNOWN_HASHED                                                                               \
	"untrusted comment: made by minisign 0.11\n"                                               \
	"RUR1LVN7KNLkFvzPnpDqGqwRvaQGqKT0XH6+GCnBRpOQ1L1K0agnEpGDmEpTAcAjSxUeXpnWzQmRCGiPxq6/"     \
	"+BCK85H2gTZC2Aw=\n"                                                                       \
	"trusted comment: " KNOWN_HASHED_COMMENT "\n"                                              \
	"il8EE8ikTtBifzwBQ3oRsWLHfp0O1g3qlR5JYxpwHrjBLstS451T+4giPG4dRxTwMtPkj2SatNTCKpOLGemc"     \
	"BQ==\n"
/* -l */
#define KNOWN_LEGACY                                                                               \
	"untrusted comment: signature from minisign secret key\n"                                  \
	"RWR1LVN7KNLkFtN8gb1f/fegATtpfJcJVs/MrV2VjYwc+kUEmZFlTV0EeU/QqHvwuwmmcFuHyAgNTuToQpeu"     \
	"dNp/Pw+kkZKqewI=\n"                                                                       \
	"trusted comment: the older algorithm\n"                                                   \
	"nu0zh1NpNrzKQZKzs2gov8/RC/5UyzztLXHTKaA7cKlnwhpWXAO2XKS6zjkWff50jPUUcZ1P9FfhV8K5RMec"     \
	"Cw==\n"
/* Another key, which signed nothing. */
#define OTHER_KEY "RWRPZpSWMr4i5QTVciqccy/bMDds522yb1WrLfQ2Ki96jqZX1p2CYUnK"

/* A file with these bytes; the caller closes it. */
static inline int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || io_pwrite(fd, data, len, 0) < 0)
		abort();
	return fd;
}

static inline struct verify_key key_of(const char *text)
{
	struct verify_key key;

	if (verify_key_parse(text, strlen(text), &key, NULL) < 0)
		abort();
	return key;
}

/* What KNOWN_SECRET makes of the bytes in FD; the caller frees it. */
static inline char *signature_of(int fd, const char *trusted_comment)
{
	struct verify_secret secret;
	char *signature;

	if (verify_secret_parse(KNOWN_SECRET, strlen(KNOWN_SECRET), &secret, NULL) < 0 ||
	    verify_minisign_sign(&secret, fd, "a test", trusted_comment, &signature, NULL) < 0)
		abort();
	verify_secret_wipe(&secret);
	return signature;
}

#endif
