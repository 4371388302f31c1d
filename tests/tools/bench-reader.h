/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of bench-reader share. */
#ifndef TESTS_TOOLS_BENCH_READER_H
#define TESTS_TOOLS_BENCH_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096

/* Seconds of CLOCK_MONOTONIC. */
double now(void);
/* The 8 bytes at P; zeros for those behind the first LEFT. */
uint64_t word_at(const char *p, size_t left);
/* A word of each block that begins in LEN bytes of a file from OFFSET on, and the first byte. */
uint64_t sample(const char *data, size_t len, uint64_t offset);
/* A descriptor, and the file's size; or -errno, logged. */
int open_file(const char *path, uint64_t *size);
/* The members that all figures have. Begins the JSON object; main() ends it. Returns 0. */
int print_figure(double begin, double end, uint64_t bytes, uint64_t sum);
/* Further members: the median, the 99th percentile and the longest of COUNT times; sorts them. */
void print_times(double *seconds, size_t count);

/*
 * A command: ARGS[0] is there, NULL follows the last. GATE: begin when stdin ends. Returns 0, or
 * -errno; -EINVAL is a mistake of the caller.
 */
int do_ranges(bool gate, char **args);

#endif
