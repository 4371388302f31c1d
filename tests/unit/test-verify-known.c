/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers: literals that stock tools printed, and libfsverity as an oracle where it is here.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#ifdef HAVE_LIBFSVERITY
#include <libfsverity.h>
#endif
#include "tests/unit/verify-reference.h"

#define MIB ((size_t)1024 * 1024)

static struct verify_result compute(const uint8_t *data, size_t size)
{
	struct verify_stream *stream;
	struct verify_result result;

	assert_int_equal(verify_stream_new(&stream), 0);
	assert_int_equal(verify_stream_update(stream, data, size), 0);
	assert_int_equal(verify_stream_finish(stream, &result), 0);
	verify_stream_free(stream);
	assert_int_equal(result.size, size);
	assert_int_equal(verify_tree_size(result.tree), size);
	return result;
}

/* `yes weightfs | head -c SIZE > f; sha256sum f; fsverity digest --compact f` */
static const struct {
	size_t size;
	const char *sha256, *fsverity;
} known[] = {
	{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	 "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"},
	{1, "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326",
	 "55856b9e92512a658b4c1d345ccb641a0f8a1642ea2c76dbdc4ccbbe76786a96"},
	{4095, "9f1c43d190505ff7aced61f8d88e4a7627408f62f5038baaba870321aeaba885",
	 "176aa6771fd2773b18b48ecef227965973ec15d63cbc94d237ccfe5a496d7953"},
	{4096, "2eba0f65371abe933903a23d8acc5e7ba8e6c4adeea1d8c0a2f00a07af607e45",
	 "ab45fa7ccdb738f6e98bb3893728808b37ea905bf1bb3f8e22050fc4558970c2"},
	{4097, "300ea1ab7cbcd59407c45c7611e961cc75ba1252342237657aee0804e96dfb1e",
	 "801a8ea06f1c5c9de683c195e7276d692e22675605aff211776b9e30ce3ce894"},
	{524287, "c8c3e36b505b0c727c627111b3af03d4953a9017c3a96785c9baca031e2464eb",
	 "f9200338d1a9e2c2c08cb002bf3a2d1f0b2bc126b2b6b762406612257a7ffc7f"},
	{524288, "e28b2774e592150a14cc245b9c22706665acfa7890ad2182bd05afd05038c070",
	 "ac4ed57865b38d79e378626929366e485b1963847a9f12d27a306eecb8a33d37"},
	{524289, "4f4c3c79df8eebcbbf8573661ef32a8ee4b4932c3243bbc824bfaa60478db5a7",
	 "9cd496720e68d5409ba4b25c813e9b995fcf31b094f49b4f9ec0f7d5197d1de8"},
	{1048576, "593c01fa318c08ecda2e218a5f963e5f06e2584997880184e58cb6038a0d8cce",
	 "be41c1d37d25bed524a8d9263609d0ef2e350d290d29c9b4e29cec2d5914a1b0"},
	{1048577, "ee0267ddd2cccd65b500b0857edd5cedfd5154e1d389fdd3c640c55312ecf2da",
	 "a1aac024a84cdeab8f3cb1fe5a74e6d2bf01ee86520b899cf4da8ef85021df12"},
	{67108865, "711acf5b04e9adbe384a440500f6c80073db2f49ee87d72a88990e343e57c54a",
	 "352dfc4ae5ac81e04a0cc915a1df621d73bcb864f8a99b31b658384e8c63779e"},
};

static void assert_hex(const struct digest *digest, const char *hex)
{
	char text[DIGEST_HEX_SIZE];

	digest_to_hex(digest, text);
	assert_string_equal(text, hex);
}

static void literals(void **state)
{
	_cleanup_free_ uint8_t *data = malloc(67108865);

	assert_non_null(data);
	fill_yes(data, 67108865);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct verify_result result = compute(data, known[i].size);

		assert_hex(&result.sha256, known[i].sha256);
		assert_hex(verify_tree_fsverity(result.tree), known[i].fsverity);
		verify_tree_free(result.tree);
	}
}

/* `fsverity digest --out-merkle-tree=t f` for 1048577 bytes: the first three hashes of t. */
static void literal_front(void **state)
{
	static const char *const hashes[] = {
		"fa9b7595c698ecc56fe42469f0efb59523c247f3d541d6d56e3962ba489a43e1",
		"b186580d5c2ea2d7fe1bcec703a954cce0d5fe6991f6d5168c00da6ca4a1ff75",
		"f482617c0b5d2d245a72158a6d3b76f89324f77952b07adc046cc0c2c510e91d",
		"0000000000000000000000000000000000000000000000000000000000000000",
	};
	_cleanup_free_ uint8_t *data = malloc(1048577);
	struct verify_result result;
	const struct digest *front;
	size_t len;

	assert_non_null(data);
	fill_yes(data, 1048577);
	result = compute(data, 1048577);
	front = verify_tree_front(result.tree, &len);
	assert_int_equal(len, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++)
		assert_hex(&front[i], hashes[i]);
	for (size_t i = ARRAY_SIZE(hashes); i < 128; i++)
		assert_memory_equal(&front[i], &front[ARRAY_SIZE(hashes) - 1], DIGEST_SIZE);
	verify_tree_free(result.tree);
}

/* What hashes to the known digest tells the size, and nothing else does. */
static void descriptors_tell_the_size(void **state)
{
	_cleanup_free_ uint8_t *data = malloc(67108865);

	assert_non_null(data);
	fill_yes(data, 67108865);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint8_t descriptor[VERIFY_DESCRIPTOR_SIZE], hash[DIGEST_SIZE];
		struct verify_result result = compute(data, known[i].size);
		struct digest fsverity = *verify_tree_fsverity(result.tree);
		uint64_t size = 1;

		verify_tree_free(result.tree);
		verify_descriptor_make(result.size, &result.root, descriptor);
		assert_int_equal(EVP_Digest(descriptor, sizeof(descriptor), hash, NULL,
					    EVP_sha256(), NULL),
				 1);
		assert_memory_equal(hash, fsverity.bytes, DIGEST_SIZE);
		assert_hex(&fsverity, known[i].fsverity);
		assert_int_equal(verify_descriptor_check(descriptor, &fsverity, &size), 0);
		assert_int_equal(size, known[i].size);
		for (size_t at = 0; at < sizeof(descriptor); at++) {
			descriptor[at] ^= 0x10;
			assert_int_equal(verify_descriptor_check(descriptor, &fsverity, &size),
					 -EBADMSG);
			/* With its own digest, too: other parameters are none of ours. */
			if (at < 8 || at >= 48) {
				EVP_Digest(descriptor, sizeof(descriptor), hash, NULL,
					   EVP_sha256(), NULL);
				memcpy(result.root.bytes, hash, DIGEST_SIZE);
				assert_int_equal(verify_descriptor_check(descriptor, &result.root,
									 &size),
						 -EBADMSG);
			}
			descriptor[at] ^= 0x10;
		}
		assert_int_equal(size, known[i].size);
	}
}

#ifdef HAVE_LIBFSVERITY

/* The file that the library reads and the tree file that it makes. */
struct oracle {
	const uint8_t *data; /* the next byte */
	uint8_t *tree;
	uint64_t tree_size;
};

static int oracle_read(void *arg, void *buf, size_t count)
{
	struct oracle *oracle = arg;

	memcpy(buf, oracle->data, count);
	oracle->data += count;
	return 0;
}

static int oracle_tree_size(void *arg, uint64_t size)
{
	struct oracle *oracle = arg;

	oracle->tree = malloc(size ? size : 1);
	oracle->tree_size = size;
	return oracle->tree ? 0 : -ENOMEM;
}

static int oracle_block(void *arg, const void *block, size_t size, uint64_t offset)
{
	struct oracle *oracle = arg;

	assert_true(offset + size <= oracle->tree_size);
	memcpy(oracle->tree + offset, block, size);
	return 0;
}

static void compare(const uint8_t *data, size_t size)
{
	struct oracle oracle = {.data = data};
	const struct libfsverity_metadata_callbacks callbacks = {
		.ctx = &oracle,
		.merkle_tree_size = oracle_tree_size,
		.merkle_tree_block = oracle_block,
	};
	const struct libfsverity_merkle_tree_params params = {
		.version = 1,
		.file_size = size,
		.metadata_callbacks = &callbacks,
	};
	struct verify_result result = compute(data, size);
	struct libfsverity_digest *digest;
	struct verify_tree *tree;
	struct digest sha256, fsverity;
	const void *front;
	size_t len;

	assert_int_equal(libfsverity_compute_digest(&oracle, oracle_read, &params, &digest), 0);
	assert_int_equal(digest->digest_size, DIGEST_SIZE);
	memcpy(fsverity.bytes, digest->digest, DIGEST_SIZE);
	assert_memory_equal(verify_tree_fsverity(result.tree), &fsverity, DIGEST_SIZE);
	reference_sha256(data, size, sha256.bytes);
	assert_memory_equal(&result.sha256, &sha256, DIGEST_SIZE);

	/* The front is the tree file without level 1, which has a block for each chunk. */
	front = verify_tree_front(result.tree, &len);
	assert_int_equal(len, verify_front_size(size));
	assert_int_equal(oracle.tree_size, len + (size > 4096 ? chunk_count(size) * 4096 : 0));
	if (len)
		assert_memory_equal(front, oracle.tree, len);

	/* And the way back: the tool's front, every chunk. */
	assert_int_equal(verify_tree_new(size, &fsverity, oracle.tree, len, &tree), 0);
	for (uint64_t i = 0; i < chunk_count(size); i++)
		assert_int_equal(
			verify_tree_check(tree, i, data + i * CHUNK_SIZE, chunk_length(size, i)),
			0);
	verify_tree_free(tree);
	verify_tree_free(result.tree);
	free(digest);
	free(oracle.tree);
}

static void oracle_sizes(void **state)
{
	/* 64 MiB are 128 chunks, one full block of hashes: one byte more adds a level. */
	static const size_t sizes[] = {
		0,
		1,
		4095,
		4096,
		4097,
		8191,
		8192,
		8193,
		CHUNK_SIZE - 4096,
		CHUNK_SIZE - 1,
		CHUNK_SIZE,
		CHUNK_SIZE + 1,
		CHUNK_SIZE + 4096,
		CHUNK_SIZE + 4097,
		2 * CHUNK_SIZE - 1,
		2 * CHUNK_SIZE,
		2 * CHUNK_SIZE + 1,
		64 * MIB - 1,
		64 * MIB,
		64 * MIB + 1,
		64 * MIB + 3 * CHUNK_SIZE + 12345,
	};
	_cleanup_free_ uint8_t *data = malloc(66 * MIB);
	uint64_t seed = 20240229;

	assert_non_null(data);
	fill_random(data, 66 * MIB, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		compare(data, sizes[i]);
	/* Elsewhere in the data each time, so at any alignment. */
	for (int i = 0; i < 24; i++)
		compare(data + next_random(&seed) % (60 * MIB), next_random(&seed) % (6 * MIB));
}

#else

static void oracle_sizes(void **state)
{
	skip(); /* built without libfsverity */
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals),
		cmocka_unit_test(literal_front),
		cmocka_unit_test(descriptors_tell_the_size),
		cmocka_unit_test(oracle_sizes),
	};

	return cmocka_run_group_tests_name("verify-known", tests, NULL, NULL);
}
