/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of safetensors files, whole and in every way damaged, and where tensors are found by. */
#include "tests/unit/tensors-testing.h"

/* ---- safetensors ---- */

static struct file safetensors(const char *header, uint64_t data)
{
	struct file file = {0};

	put_number(&file, strlen(header), 8);
	put_text(&file, header);
	file.size = file.length + data;
	return file;
}

static void test_safetensors(void **state)
{
	/* Out of order, with an escaped quote and brackets in a name, an empty tensor, and a gap. */
	struct file file = safetensors(
		" {\"b\\\"]}\":{\"dtype\":\"F16\",\"shape\":[2,50],\"data_offsets\":[1000,1200]},\n"
		"\"__metadata__\":{\"format\":\"pt\",\"x\":\"{\"},"
		"\"none\":{\"data_offsets\":[1000,1000],\"shape\":[0],\"dtype\":\"F32\"}, "
		"\"a\" : {\"data_offsets\" : [0, 900], \"dtype\":\"F32\", \"shape\":[225]}}    ",
		1200);
	uint64_t base = file.length;
	const struct tensor wanted[] = {{base, base + 900}, {base + 1000, base + 1200}};

	expect_tensors(&file, wanted, 2);
}

static void test_safetensors_refused(void **state)
{
	static const char *const headers[] = {
		"",
		"{",
		"{}",
		"[]",
		"{\"a\":1}",
		"{\"a\":{}}",
		"{\"a\":{\"data_offsets\":[0,10]}",
		"{\"a\":{\"data_offsets\":[0,10]},}",
		"{\"a\":{\"data_offsets\":[0,10]} \"b\":{\"data_offsets\":[10,20]}}",
		"{\"a\":{\"data_offsets\":[0]}}",
		"{\"a\":{\"data_offsets\":[0,1,2]}}",
		"{\"a\":{\"data_offsets\":[10,0]}}",
		"{\"a\":{\"data_offsets\":[-1,10]}}",
		"{\"a\":{\"data_offsets\":[0,101]}}",
		"{\"a\":{\"data_offsets\":[0.5,10]}}",
		"{\"a\":{\"data_offsets\":[0,1e1]}}",
		"{\"a\":{\"data_offsets\":[0,18446744073709551616]}}",
		"{\"a\":{\"data_offsets\":[0,9223372036854775807]}}",
		"{\"a\":{\"data_offsets\":\"0,10\"}}",
		"{\"a\":{\"data_offsets\":[0,10],\"data_offsets\":[0,20]}}",
		"{\"a\":{\"data_offsets\":[0,50]},\"b\":{\"data_offsets\":[49,100]}}",
		"{\"a\":{\"data_offsets\":[0,50]},\"b\":{\"data_offsets\":[0,100]}}",
		"{\"__metadata__\":{\"data_offsets\":[0,10]}}",
		"{\"a:{\"data_offsets\":[0,10]}}",
		"{a:{\"data_offsets\":[0,10]}}",
		"{\"a\":{\"data_offsets\":[0,10]]}",
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct file file = safetensors(headers[i], 100);

		expect_none(&file, headers[i]);
	}
}

/* The length field alone. */
static void test_safetensors_length(void **state)
{
	static const uint64_t lengths[] = {0,	       1,	   93,	      100 * 1000 * 1000,
					   UINT32_MAX, UINT64_MAX, INT64_MAX, UINT64_MAX - 7};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct file file = {.size = 100};

		put_number(&file, lengths[i], 8);
		put_text(&file, "{\"a\":{\"data_offsets\":[0,1]}}");
		expect_none(&file, "length");
	}
	/* It would fit into the file, but nobody has a header of that length: nothing is asked for. */
	for (size_t i = 3; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct file file = {.size = (uint64_t)1 << 40, .here = CHUNK_SIZE};

		put_number(&file, lengths[i], 8);
		put_text(&file, "{\"a\":{\"data_offsets\":[0,1]},");
		expect_none(&file, "a length beyond all headers");
	}
}

static void test_too_short(void **state)
{
	for (uint64_t size = 1; size < 16; size++) {
		struct file file = {.size = size};

		put_text(&file, "\x02\0\0\0\0\0\0\0{}");
		expect_none(&file, "a few bytes");
	}
}

/* A value that is longer than any tensor's has to be, and metadata that may be. */
static void test_safetensors_long_values(void **state)
{
	static char header[20000];
	char padding[9000];
	struct file file;
	struct tensor wanted;

	memset(padding, 'x', sizeof(padding) - 1);
	padding[sizeof(padding) - 1] = '\0';
	snprintf(header, sizeof(header), "{\"a\":{\"x\":\"%s\",\"data_offsets\":[0,10]}}", padding);
	file = safetensors(header, 100);
	expect_none(&file, "a long value");

	snprintf(header, sizeof(header),
		 "{\"__metadata__\":{\"x\":\"%s\"},\"%s\":{\"data_offsets\":[0,10]}}", padding,
		 padding);
	file = safetensors(header, 100);
	wanted = (struct tensor){file.length, file.length + 10};
	expect_tensors(&file, &wanted, 1);
}

/* N tensors of 64 KiB; the header is as long as it gets. */
static struct file many(size_t n)
{
	struct file file = {0};
	char member[128];

	put_number(&file, 0, 8);
	for (size_t i = 0; i < n; i++) {
		snprintf(member, sizeof(member),
			 "%s\"layers.%zu\":{\"dtype\":\"F16\",\"data_offsets\":[%zu,%zu]}",
			 i ? "," : "{", i, i << 16, (i + 1) << 16);
		put_text(&file, member);
	}
	put_text(&file, "}");
	for (size_t i = 0; i < 8; i++)
		file.data[i] = (unsigned char)((file.length - 8) >> (8 * i));
	file.size = file.length + ((uint64_t)n << 16);
	return file;
}

static void test_many(void **state)
{
	struct file file = many(TENSORS_MAX), over = many(TENSORS_MAX + 1);
	struct tensors *tensors;
	const struct tensor *last;

	assert_int_equal(parse(&file, &tensors), 0);
	assert_int_equal(tensors_count(tensors), TENSORS_MAX);
	last = tensors_at(tensors, TENSORS_MAX - 1);
	assert_true(last->end == file.size && last->begin == file.size - 65536);
	tensors_free(tensors);
	free(file.data);
	expect_none(&over, "one too many");
}

/* Only what is here is read; what is missing of the header is known from its first bytes. */
static void test_partly_here(void **state)
{
	struct file file = many(30000);
	struct tensors *tensors;
	uint64_t need = 0;

	assert_true(file.length > 3 * CHUNK_SIZE);
	file.here = CHUNK_SIZE;
	assert_int_equal(tensors_parse(file.size, read_file, &file, &tensors, &need), -ENODATA);
	assert_true(need == file.length);
	file.here = chunk_count(need) * CHUNK_SIZE;
	assert_int_equal(tensors_parse(file.size, read_file, &file, &tensors, &need), 0);
	assert_true(file.furthest <= file.here);
	assert_int_equal(tensors_count(tensors), 30000);
	tensors_free(tensors);

	/* An error at any read is the caller's to know. */
	for (size_t at = 1; at < 20; at++) {
		file.reads = 0;
		file.fail_at = at;
		file.error = -EIO;
		assert_int_equal(tensors_parse(file.size, read_file, &file, &tensors, &need), -EIO);
	}
	free(file.data);
}

/* ---- looking up ---- */

static void expect_at(const struct tensor *tensor, const struct tensors *of, int index)
{
	if (tensor != (index < 0 ? NULL : tensors_at(of, (size_t)index)))
		fail_msg("not tensor %d", index);
}

static void test_find(void **state)
{
	struct file file = safetensors("{\"a\":{\"data_offsets\":[0,10]},"
				       "\"b\":{\"data_offsets\":[10,20]},"
				       "\"c\":{\"data_offsets\":[30,40]}}",
				       40);
	uint64_t base = file.length;
	struct tensors *tensors;

	assert_int_equal(parse(&file, &tensors), 0);
	expect_at(tensors_find(tensors, 0), tensors, -1);
	expect_at(tensors_find(tensors, base - 1), tensors, -1);
	expect_at(tensors_find(tensors, base), tensors, 0);
	expect_at(tensors_find(tensors, base + 9), tensors, 0);
	expect_at(tensors_find(tensors, base + 10), tensors, 1);
	expect_at(tensors_find(tensors, base + 20), tensors, -1);
	expect_at(tensors_find(tensors, base + 39), tensors, 2);
	expect_at(tensors_find(tensors, base + 40), tensors, -1);
	expect_at(tensors_find(tensors, UINT64_MAX), tensors, -1);
	expect_at(tensors_beginning(tensors, 0, base), tensors, -1);
	expect_at(tensors_beginning(tensors, 0, base + 1), tensors, 0);
	expect_at(tensors_beginning(tensors, base + 1, base + 10), tensors, -1);
	expect_at(tensors_beginning(tensors, base, base + 100), tensors, 2);
	expect_at(tensors_beginning(tensors, base + 31, UINT64_MAX), tensors, -1);
	tensors_free(tensors);
	free(file.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safetensors),
		cmocka_unit_test(test_safetensors_refused),
		cmocka_unit_test(test_safetensors_length),
		cmocka_unit_test(test_too_short),
		cmocka_unit_test(test_safetensors_long_values),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_partly_here),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests_name("tensors", tests, NULL, NULL);
}
