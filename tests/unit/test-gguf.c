/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of GGUF files, whole and in every way damaged. */
#include "tests/unit/tensors-testing.h"

static void put_string(struct file *file, const char *text)
{
	put_number(file, strlen(text), 8);
	put_text(file, text);
}

static void put_start(struct file *file, uint32_t version, uint64_t tensors, uint64_t pairs)
{
	put_text(file, "GGUF");
	put_number(file, version, 4);
	put_number(file, tensors, 8);
	put_number(file, pairs, 8);
}

static void put_tensor(struct file *file, const char *name, uint64_t offset)
{
	put_string(file, name);
	put_number(file, 2, 4);
	put_number(file, 64, 8);
	put_number(file, 10, 8);
	put_number(file, 12, 4);
	put_number(file, offset, 8);
}

/* A pair of every type there is. */
static const unsigned char widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static void put_pairs(struct file *file)
{
	for (uint32_t type = 0; type < sizeof(widths); type++) {
		put_string(file, "some.key");
		put_number(file, type, 4);
		if (type == 8) {
			put_string(file, "a value");
		} else if (type == 9) { /* an array of two arrays: numbers, strings */
			put_number(file, 9, 4);
			put_number(file, 2, 8);
			put_number(file, 5, 4);
			put_number(file, 3, 8);
			put_number(file, 1, 4), put_number(file, 2, 4), put_number(file, 3, 4);
			put_number(file, 8, 4);
			put_number(file, 2, 8);
			put_string(file, "first"), put_string(file, "");
		} else {
			put_number(file, 1, widths[type]);
		}
	}
}

static void test_gguf(void **state)
{
	static const uint32_t alignments[] = {0, 8, 64, 4096};

	for (uint32_t version = 2; version <= 3; version++) {
		for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
			struct file file = {0};
			uint64_t base, alignment = alignments[i] ? alignments[i] : 32;

			put_start(&file, version, 3, sizeof(widths) + (alignments[i] != 0));
			put_pairs(&file);
			if (alignments[i]) {
				put_string(&file, "general.alignment");
				put_number(&file, 4, 4);
				put_number(&file, alignment, 4);
			}
			put_tensor(&file, "second", 8192);
			put_tensor(&file, "first", 0);
			put_tensor(&file, "third", 12288);
			base = (file.length + alignment - 1) / alignment * alignment;
			file.size = base + 20000;
			expect_tensors(&file,
				       (const struct tensor[]){{base, base + 8192},
							       {base + 8192, base + 12288},
							       {base + 12288, base + 20000}},
				       3);
		}
	}
}

/* A vocabulary of a few MiB before the tensors: the need grows with what is here, to the end. */
static void test_gguf_partly_here(void **state)
{
	struct file file = {0};
	struct tensors *tensors = NULL;
	size_t attempts = 0;
	uint64_t need = 1;
	int r = -ENODATA;

	put_start(&file, 3, 1, 1);
	put_string(&file, "tokenizer.ggml.tokens");
	put_number(&file, 9, 4);
	put_number(&file, 8, 4);
	put_number(&file, 300000, 8);
	for (size_t i = 0; i < 300000; i++)
		put_string(&file, "a word");
	put_tensor(&file, "t", 0);
	file.size = (uint64_t)1 << 40;
	for (; r == -ENODATA; attempts++) {
		file.here = chunk_count(need) * CHUNK_SIZE;
		r = tensors_parse(file.size, read_file, &file, &tensors, &need);
		assert_true(need <= 2 * file.length);
		assert_true(r == 0 || need > file.here);
	}
	assert_int_equal(r, 0);
	assert_int_equal(tensors_count(tensors), 1);
	assert_true(attempts < 8);
	tensors_free(tensors);
	free(file.data);
}

/* One field after the other set to something that cannot be. */
static void test_gguf_refused(void **state)
{
	static const struct {
		uint64_t version, tensors, pairs, key, type, length, name, dimensions, offset;
		const char *what;
	} cases[] = {
		{3, 1, 1, 8, 8, 4, 4, 2, 0, NULL}, /* right */
		{1, 1, 1, 8, 8, 4, 4, 2, 0, "version 1"},
		{4, 1, 1, 8, 8, 4, 4, 2, 0, "version 4"},
		{0x03000000, 1, 1, 8, 8, 4, 4, 2, 0, "big-endian"},
		{3, 0, 1, 8, 8, 4, 4, 2, 0, "no tensor"},
		{3, 2, 1, 8, 8, 4, 4, 2, 0, "a tensor that is not there"},
		{3, UINT64_MAX, 1, 8, 8, 4, 4, 2, 0, "tensors"},
		{3, 1, UINT64_MAX, 8, 8, 4, 4, 2, 0, "pairs"},
		{3, 1, 1, UINT64_MAX, 8, 4, 4, 2, 0, "key"},
		{3, 1, 1, UINT64_MAX - 31, 8, 4, 4, 2, 0, "key, to the front"},
		{3, 1, 1, 8, 13, 4, 4, 2, 0, "type"},
		{3, 1, 1, 8, UINT32_MAX, 4, 4, 2, 0, "type"},
		{3, 1, 1, 8, 8, UINT64_MAX, 4, 2, 0, "string"},
		{3, 1, 1, 8, 8, 1 << 20, 4, 2, 0, "string beyond the end"},
		{3, 1, 1, 8, 8, 4, UINT64_MAX, 2, 0, "name"},
		{3, 1, 1, 8, 8, 4, 4, 9, 0, "dimensions"},
		{3, 1, 1, 8, 8, 4, 4, UINT32_MAX, 0, "dimensions"},
		{3, 1, 1, 8, 8, 4, 4, 2, 50000, "offset at the end"},
		{3, 1, 1, 8, 8, 4, 4, 2, UINT64_MAX, "offset"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct file file = {.size = 50000};
		struct tensors *tensors;

		put_start(&file, (uint32_t)cases[i].version, cases[i].tensors, cases[i].pairs);
		put_number(&file, cases[i].key, 8);
		put_text(&file, "some.key");
		put_number(&file, cases[i].type, 4);
		put_number(&file, cases[i].length, 8);
		put_text(&file, "text");
		put_number(&file, cases[i].name, 8);
		put_text(&file, "name");
		put_number(&file, cases[i].dimensions, 4);
		put_number(&file, 64, 8), put_number(&file, 10, 8);
		put_number(&file, 12, 4);
		put_number(&file, cases[i].offset, 8);
		if (cases[i].what) {
			expect_none(&file, cases[i].what);
			continue;
		}
		assert_int_equal(parse(&file, &tensors), 0);
		tensors_free(tensors);
		free(file.data);
	}
}

static void test_gguf_odd(void **state)
{
	struct file twice = {.size = 50000}, deep = {.size = 50000}, wide = {.size = 50000},
		    odd = {.size = 50000};

	put_start(&twice, 3, 2, 0);
	put_tensor(&twice, "a", 4096);
	put_tensor(&twice, "b", 4096);
	expect_none(&twice, "two at one place");

	put_start(&deep, 3, 1, 1);
	put_string(&deep, "key");
	put_number(&deep, 9, 4);
	for (size_t i = 0; i < 100; i++)
		put_number(&deep, 9, 4), put_number(&deep, 1, 8);
	put_number(&deep, 0, 4), put_number(&deep, 0, 8);
	put_tensor(&deep, "a", 0);
	expect_none(&deep, "arrays in arrays");

	put_start(&wide, 3, 1, 1);
	put_string(&wide, "key");
	put_number(&wide, 9, 4), put_number(&wide, 12, 4);
	put_number(&wide, (uint64_t)1 << 61, 8); /* times 8: 0 */
	put_tensor(&wide, "a", 0);
	expect_none(&wide, "an array that overflows");

	put_start(&odd, 3, 1, 1);
	put_string(&odd, "general.alignment");
	put_number(&odd, 4, 4), put_number(&odd, 0, 4);
	put_tensor(&odd, "a", 0);
	expect_none(&odd, "alignment 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gguf),
		cmocka_unit_test(test_gguf_partly_here),
		cmocka_unit_test(test_gguf_refused),
		cmocka_unit_test(test_gguf_odd),
	};

	return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
