/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses are the public Internet's. IPv4: all but the IANA special-purpose registry (RFC
 * 6890 and its updates), multicast and class E. IPv6: only global unicast, 2000::/3, less what is
 * special in it; an address that carries an IPv4 address (mapped, NAT64) is what that is.
 */
#include "fetch/exchange.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct prefix {
	uint8_t bytes[16];
	unsigned int bits;
};

static const struct prefix special4[] = {
	{{0}, 8},	      /* this network, RFC 791 */
	{{10}, 8},	      /* private, RFC 1918 */
	{{100, 64}, 10},      /* carrier-grade NAT, RFC 6598 */
	{{127}, 8},	      /* loopback, RFC 1122 */
	{{169, 254}, 16},     /* link-local, RFC 3927: cloud metadata lives here */
	{{172, 16}, 12},      /* private, RFC 1918 */
	{{192, 0, 0}, 24},    /* protocol assignments, RFC 6890 */
	{{192, 0, 2}, 24},    /* documentation, RFC 5737 */
	{{192, 88, 99}, 24},  /* 6to4 relay anycast, RFC 7526 */
	{{192, 168}, 16},     /* private, RFC 1918 */
	{{198, 18}, 15},      /* benchmarking, RFC 2544 */
	{{198, 51, 100}, 24}, /* documentation, RFC 5737 */
	{{203, 0, 113}, 24},  /* documentation, RFC 5737 */
	{{224}, 4},	      /* multicast, RFC 5771 */
	{{240}, 4},	      /* reserved and broadcast, RFC 1112 */
};

static const struct prefix global6 = {{0x20}, 3};		       /* RFC 4291 */
static const struct prefix mapped6 = {{[10] = 0xff, [11] = 0xff}, 96}; /* ::ffff:0:0/96 */
static const struct prefix nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};     /* RFC 6052 */

static const struct prefix special6[] = {
	{{0x20, 0x01}, 23},		/* protocol assignments, with Teredo: RFC 2928, 4380 */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation, RFC 3849 */
	{{0x20, 0x02}, 16},		/* 6to4: an IPv4 address in disguise, RFC 3056 */
	{{0x3f, 0xff}, 20},		/* documentation, RFC 9637 */
};

static bool within(const uint8_t *address, const struct prefix *prefix)
{
	unsigned int bytes = prefix->bits / 8, rest = prefix->bits % 8;

	if (memcmp(address, prefix->bytes, bytes) != 0)
		return false;
	return rest == 0 || (address[bytes] ^ prefix->bytes[bytes]) >> (8 - rest) == 0;
}

static bool public4(const uint8_t address[4])
{
	for (size_t i = 0; i < ARRAY_SIZE(special4); i++)
		if (within(address, &special4[i]))
			return false;
	return true;
}

static bool public6(const uint8_t address[16])
{
	if (within(address, &mapped6) || within(address, &nat64))
		return public4(address + 12);
	if (!within(address, &global6))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(special6); i++)
		if (within(address, &special6[i]))
			return false;
	return true;
}

bool address_is_public(const struct sockaddr *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (address->sa_family) {
	case AF_INET:
		memcpy(&in, address, sizeof(in));
		return public4((const uint8_t *)&in.sin_addr);
	case AF_INET6:
		memcpy(&in6, address, sizeof(in6));
		return public6(in6.sin6_addr.s6_addr);
	default:
		return false;
	}
}

bool address_text_is_public(const char *text)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		return public4(bytes);
	return inet_pton(AF_INET6, text, bytes) == 1 && public6(bytes);
}

void address_format(const struct sockaddr *address, char out[INET6_ADDRSTRLEN])
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const char *text = NULL;

	if (address->sa_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		text = inet_ntop(AF_INET, &in.sin_addr, out, INET6_ADDRSTRLEN);
	} else if (address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		text = inet_ntop(AF_INET6, &in6.sin6_addr, out, INET6_ADDRSTRLEN);
	}
	if (!text)
		snprintf(out, INET6_ADDRSTRLEN, "of family %d", address->sa_family);
}
