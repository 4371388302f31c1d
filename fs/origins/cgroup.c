/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/number.h"

#define DELETED " (deleted)"

/* In this order. */
static const char *const controllers[] = {"pids",   "memory",  "cpu",     "cpuacct",
					  "cpuset", "devices", "freezer", "blkio"};

/* A line of /proc/PID/cgroup, "ID:NAMES:PATH". */
struct line {
	const char *names, *path;
	size_t names_len, path_len;
};

struct lines {
	struct line unified, systemd, controller; /* path NULL: there is none */
	size_t rank;				  /* of controller */
};

/* ---- /proc/PID/cgroup ---- */

/* The place in `controllers` of the first of NAMES that is there. */
static size_t rank_of(const struct line *line)
{
	const char *end = line->names + line->names_len;
	size_t best = ARRAY_SIZE(controllers);

	for (const char *at = line->names; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t len = (size_t)((comma ? comma : end) - at);

		for (size_t i = 0; i < best; i++) {
			if (strlen(controllers[i]) == len && !memcmp(controllers[i], at, len))
				best = i;
		}
		at += len + 1;
	}
	return best;
}

/* Each hierarchy has one line. */
static int take(struct line *slot, const struct line *line)
{
	if (slot->path)
		return -EBADMSG;
	*slot = *line;
	return 0;
}

static int sort_line(struct lines *lines, const struct line *line)
{
	static const char systemd[] = "name=systemd";
	size_t rank;

	if (line->names_len == 0)
		return take(&lines->unified, line);
	if (line->names_len == strlen(systemd) && !memcmp(line->names, systemd, strlen(systemd)))
		return take(&lines->systemd, line);
	rank = rank_of(line);
	if (rank < lines->rank) {
		lines->rank = rank;
		lines->controller = *line;
	}
	return 0;
}

static int parse(const char *text, struct lines *lines)
{
	*lines = (struct lines){.rank = ARRAY_SIZE(controllers)};
	while (*text) {
		const char *end = strchr(text, '\n'), *colon;
		struct line line;
		uint64_t id;
		int r;

		if (!end || number_digits(&text, &id) < 0 || *text++ != ':')
			return -EBADMSG;
		line.names = text;
		colon = memchr(text, ':', (size_t)(end - text));
		if (!colon || colon[1] != '/')
			return -EBADMSG;
		line.names_len = (size_t)(colon - text);
		line.path = colon + 1;
		line.path_len = (size_t)(end - line.path);
		r = (id == 0) == (line.names_len == 0) ? sort_line(lines, &line) : -EBADMSG;
		if (r < 0)
			return r;
		text = end + 1;
	}
	return 0;
}

/* ---- which hierarchy ---- */

static bool is_version_2(const char *folder)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/cgroup.controllers", folder) < PATH_MAX &&
	       access(path, F_OK) == 0;
}

/* FOLDER: where the hierarchy that names the process is mounted. */
static int choose(const char *root, const struct lines *lines, char folder[PATH_MAX],
		  struct line *line)
{
	const struct line *unified = &lines->unified;
	bool has_unified;
	int n;

	if (is_version_2(root)) {
		*line = *unified;
		n = snprintf(folder, PATH_MAX, "%s", root);
		return unified->path && n < PATH_MAX ? 0 : -ENXIO;
	}
	n = snprintf(folder, PATH_MAX, "%s/unified", root);
	has_unified = unified->path && n < PATH_MAX && is_version_2(folder);
	if (has_unified &&
	    (unified->path_len > 1 || (!lines->systemd.path && !lines->controller.path))) {
		*line = *unified;
		return 0;
	}
	if (lines->systemd.path) {
		*line = lines->systemd;
		n = snprintf(folder, PATH_MAX, "%s/systemd", root);
	} else {
		*line = lines->controller;
		n = snprintf(folder, PATH_MAX, "%s/%.*s", root, (int)line->names_len, line->names);
	}
	return line->path && n < PATH_MAX ? 0 : -ENXIO;
}

/* ---- what of it is root's ---- */

static bool is_owned(const struct stat *st, uid_t owner)
{
	return st->st_uid == owner && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* Nobody but OWNER makes cgroups in FOLDER or moves processes into it. */
static bool is_trusted(int folder, uid_t owner)
{
	static const char *const doors[] = {"cgroup.procs", "cgroup.threads", "tasks"};
	struct stat st;

	if (fstat(folder, &st) < 0 || !is_owned(&st, owner))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
		if (fstatat(folder, doors[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ?
			    errno != ENOENT :
			    !is_owned(&st, owner))
			return false;
	}
	return true;
}

/* A part of a path; what is no name of a directory is odd, and `..` leads out of what we see. */
static int check_part(const char *part)
{
	if (!strcmp(part, ".."))
		return -EXDEV;
	return *part && strcmp(part, ".") ? 0 : -EBADMSG;
}

/* All of it is looked at, so that a path of which something is odd is refused as a whole. */
static int walk(const char *folder, uid_t owner, char *path, char out[CGROUP_PATH_SIZE])
{
	_cleanup_close_ int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool trusted;
	char *part;
	int r;

	if (fd < 0)
		return errno == ENOENT ? -ENXIO : -errno;
	trusted = is_trusted(fd, owner);
	snprintf(out, CGROUP_PATH_SIZE, "%s", trusted ? "/" : "");
	if (!strcmp(path, "/"))
		return 0;
	path++;
	while ((part = strsep(&path, "/"))) {
		int next;

		r = check_part(part);
		if (r < 0)
			return r;
		next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close(fd);
		fd = next;
		trusted = trusted && is_trusted(fd, owner);
		/* It fits: OUT is no longer than the path. */
		if (trusted) {
			size_t len = strcmp(out, "/") ? strlen(out) : 0;

			snprintf(out + len, CGROUP_PATH_SIZE - len, "/%s", part);
		}
	}
	return 0;
}

int cgroup_of(const char *root, uid_t owner, const char *text, char out[CGROUP_PATH_SIZE])
{
	char folder[PATH_MAX], path[CGROUP_PATH_SIZE], found[CGROUP_PATH_SIZE];
	struct lines lines;
	struct line line;
	int r;

	r = parse(text, &lines);
	if (r == 0)
		r = choose(root, &lines, folder, &line);
	if (r < 0)
		return r;
	if (line.path_len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, line.path, line.path_len);
	path[line.path_len] = '\0';
	if (line.path_len >= strlen(DELETED) &&
	    !strcmp(path + line.path_len - strlen(DELETED), DELETED))
		return -ENOENT;
	r = walk(folder, owner, path, found);
	if (r < 0)
		return r;
	memcpy(out, found, strlen(found) + 1);
	return 0;
}

/* ---- units ---- */

/* systemd.unit(5). The type is the last part; a template without an instance does not run. */
static bool is_unit_name(const char *name, const char *const *types, size_t n_types)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@";
	const char *dot = strrchr(name, '.'), *at = strchr(name, '@');

	if (!dot || dot == name || strlen(name) >= CGROUP_UNIT_SIZE || at == name || at == dot - 1 ||
	    name[strspn(name, letters)])
		return false;
	for (size_t i = 0; i < n_types; i++) {
		if (!strcmp(dot + 1, types[i]))
			return true;
	}
	return false;
}

bool cgroup_unit(const char *path, char out[CGROUP_UNIT_SIZE])
{
	/* What has processes. */
	static const char *const types[] = {"service", "scope", "socket", "mount", "swap"};
	static const char *const slices[] = {"slice"};
	char part[CGROUP_UNIT_SIZE + 1];

	while (*path == '/') {
		size_t len = strcspn(++path, "/");
		const char *name = part;

		if (len >= sizeof(part))
			return false;
		memcpy(part, path, len);
		part[len] = '\0';
		path += len;
		/* systemd's prefix for names that could be those of the kernel's own files. */
		if (*name == '_')
			name++;
		if (is_unit_name(name, slices, ARRAY_SIZE(slices)))
			continue;
		if (!is_unit_name(name, types, ARRAY_SIZE(types)))
			return false;
		memcpy(out, name, strlen(name) + 1);
		return true;
	}
	return false;
}
