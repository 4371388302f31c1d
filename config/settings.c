/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include "common/log.h"
#include "policy/policy.h"

#define SYSTEM_CONF    SYSCONFDIR "/weightfs/weightfs.conf"
#define SYSTEM_RUNTIME "/run"
#define SOCKET         "/weightfs/control.sock"

void settings_free(struct settings *settings)
{
	free(settings->conf);
	free(settings->policy);
	free(settings->store);
	free(settings->origin);
	free(settings->socket);
	free(settings->system_socket);
	*settings = (struct settings){ 0 };
}

static int set_string(char **out, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*out);
	*out = copy;
	return 0;
}

static int set_origin(struct settings *settings, const char *value)
{
	char origin[POLICY_ORIGIN_SIZE];

	if (policy_origin_parse(value, origin) < 0) {
		log_error("origin=%s is not an origin", value);
		return -EINVAL;
	}
	return set_string(&settings->origin, origin);
}

int settings_set(struct settings *settings, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **out;
	} strings[] = {
		{ "conf", &settings->conf },
		{ "policy", &settings->policy },
		{ "store", &settings->store },
	};
	const struct {
		const char *name;
		bool *out;
	} words[] = {
		{ "nopassthrough", &settings->nopassthrough },
		{ "offline", &settings->offline },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(name, words[i].name))
			continue;
		if (value) {
			log_error("%s takes no value", name);
			return -EINVAL;
		}
		*words[i].out = true;
		return 0;
	}
	if (!strcmp(name, "origin"))
		return set_origin(settings, value ? value : "");
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		if (strcmp(name, strings[i].name))
			continue;
		if (!value || !*value) {
			log_error("%s needs a value", name);
			return -EINVAL;
		}
		return set_string(strings[i].out, value);
	}
	return -ENOENT;
}

/* ---- filling in ---- */

static char *join(const char *a, const char *b)
{
	char *joined;

	return asprintf(&joined, "%s%s", a, b) < 0 ? NULL : joined;
}

static int make_absolute(char **path)
{
	_cleanup_free_ char *cwd = NULL;
	char *absolute;

	if (**path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&absolute, "%s/%s", cwd, *path) < 0)
		return cwd ? -ENOMEM : -errno;
	free(*path);
	*path = absolute;
	return 0;
}

static int resolve_conf(struct settings *settings, struct config *config)
{
	struct config_error error;
	char text[1024];
	int r;

	config_defaults(config);
	if (!settings->conf)
		return 0;
	r = make_absolute(&settings->conf);
	if (r < 0)
		return log_error_errno(r, "%s", settings->conf);
	r = config_load(settings->conf, config, &error);
	if (r < 0) {
		config_error_format(&error, text, sizeof(text));
		log_error("%s", text);
	}
	return r;
}

static int resolve_policy(struct settings *settings)
{
	_cleanup_free_ char *beside = NULL;
	const char *slash;

	if (settings->policy)
		return make_absolute(&settings->policy);
	if (!settings->conf)
		return 0;
	slash = strrchr(settings->conf, '/');
	if (asprintf(&beside, "%.*s/policy", (int)(slash - settings->conf), settings->conf) < 0)
		return -ENOMEM;
	if (access(beside, F_OK) == 0)
		settings->policy = steal_pointer(beside);
	return 0;
}

/* Is it the system's configuration? Then the store is root's, whoever reads it. */
static bool is_system(const struct settings *settings)
{
	return settings->conf && !strcmp(settings->conf, SYSTEM_CONF);
}

static int resolve_store(struct settings *settings, const struct config *config)
{
	if (settings->store)
		return make_absolute(&settings->store);
	if (config->store.path)
		return set_string(&settings->store, config->store.path);
	return config_default_store(is_system(settings) ? 0 : getuid(), &settings->store);
}

/*
 * Clients without the right to enter the store's directory must find the system's daemon, so that one
 * listens in the runtime directory; any other daemon (-o store=, another configuration) in its store.
 */
static int resolve_socket(struct settings *settings, bool own_store)
{
	const char *runtime = getuid() == 0 || is_system(settings) ? SYSTEM_RUNTIME :
								    getenv("XDG_RUNTIME_DIR");

	if (!own_store && (!settings->conf || is_system(settings)) && runtime)
		settings->socket = join(runtime, SOCKET);
	else
		settings->socket = join(settings->store, "/control.sock");
	/* Who names nothing and has no daemon of his own means the system's. */
	if (!own_store && !settings->conf && getuid() != 0)
		settings->system_socket = join(SYSTEM_RUNTIME, SOCKET);
	return settings->socket ? 0 : -ENOMEM;
}

int settings_resolve(struct settings *settings, struct config *config)
{
	bool own_store = settings->store;
	int r;

	r = resolve_conf(settings, config);
	if (r < 0)
		return r;
	settings->default_store = !own_store && !settings->conf;
	r = resolve_policy(settings);
	if (r == 0)
		r = resolve_store(settings, config);
	if (r == 0)
		r = resolve_socket(settings, own_store);
	if (r < 0) {
		config_free(config);
		return log_error_errno(r, "the store's place cannot be found out");
	}
	return 0;
}

/* An extended attribute as a string, to be freed. */
static int get_attribute(const char *path, const char *name, char **out)
{
	char value[PATH_MAX];
	ssize_t n = getxattr(path, name, value, sizeof(value) - 1);

	if (n < 0)
		return -errno;
	*out = strndup(value, (size_t)n);
	return *out ? 0 : -ENOMEM;
}

/*
 * SOCKET is to be freed, and set only on success.
 *
 * A web origin's view tells nobody but root whose it is, as its user's brokers cannot be told from the origin's own
 * processes: but where it is found from the mount's top, its path does. FOLDER is in …/origin/UID/ORIGIN. -ENODATA: it is not.
 */
static int follow_from_above(const char *folder, char **socket, struct settings_view *view)
{
	_cleanup_free_ char *path = realpath(folder, NULL), *found = NULL;
	const char *name = "", *uid;
	char origin[POLICY_ORIGIN_SIZE];
	struct statfs st;
	char *slash, *end;
	unsigned long number;
	int r = -ENODATA;

	if (!path || statfs(path, &st) < 0)
		return -errno;
	if (st.f_type != FUSE_SUPER_MAGIC)
		return -ENODATA;
	/* NAME is the component below PATH. */
	while (r == -ENODATA && (slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		name = slash + 1;
		r = get_attribute(path, "user.weightfs.control", &found);
	}
	if (r < 0)
		return r;
	uid = strrchr(path, '/') + 1;
	number = strtoul(uid, &end, 10);
	if (*end || end == uid || policy_origin_from_dir(name, origin) < 0)
		return -ENODATA;
	view->origin = strdup(origin);
	view->uid = (int64_t)number;
	if (!view->origin)
		return -ENOMEM;
	*socket = steal_pointer(found);
	return 0;
}

/* What FOLDER itself says. */
static int follow_folder(const char *folder, char **socket, struct settings_view *view)
{
	_cleanup_free_ char *uid = NULL, *origin = NULL, *found = NULL;
	int r;

	r = get_attribute(folder, "user.weightfs.control", &found);
	if (r < 0)
		return r;
	r = get_attribute(folder, "user.weightfs.origin", &origin);
	if (r == 0)
		r = get_attribute(folder, "user.weightfs.uid", &uid);
	if (r == -ENOMEM)
		return r;
	view->origin = steal_pointer(origin);
	view->uid = uid ? strtoll(uid, NULL, 10) : -1;
	*socket = steal_pointer(found);
	return 0;
}

static int find_daemon(const char *folder, char **socket, struct settings_view *view)
{
	int r = follow_folder(folder, socket, view);

	return r == -ENODATA ? follow_from_above(folder, socket, view) : r;
}

bool settings_is_on_mount(const char *folder)
{
	struct settings_view view = { 0 };
	_cleanup_free_ char *socket = NULL;

	if (find_daemon(folder, &socket, &view) < 0)
		return false;
	free(view.origin);
	return true;
}

int settings_follow(struct settings *settings, const char *path, struct settings_view *view)
{
	_cleanup_free_ char *folder = strdup(path);
	char *socket;
	int r;

	if (!folder)
		return -ENOMEM;
	folder[strrchr(path, '/') - path + 1] = '\0';
	r = find_daemon(folder, &socket, view);
	if (r == -ENODATA || r == -EOPNOTSUPP) {
		log_error("%s: is not on a weightfs mount, or not yours to ask about", path);
		return r;
	}
	if (r < 0)
		return log_error_errno(r, "%s", path);
	free(settings->socket);
	settings->socket = socket;
	settings->daemon_only = true;
	return 0;
}

int settings_use_default_conf(struct settings *settings)
{
	if (settings->conf || settings->store || getuid() != 0 || access(SYSTEM_CONF, F_OK) < 0)
		return 0;
	return set_string(&settings->conf, SYSTEM_CONF);
}

/* The filesystem that PATH, or the nearest of its parents that exists, is on. */
static int nearest_statvfs(const char *path, struct statvfs *out)
{
	_cleanup_free_ char *part = strdup(path);

	if (!part)
		return -ENOMEM;
	while (statvfs(part, out) < 0) {
		char *slash = strrchr(part, '/');

		if (errno != ENOENT || !slash)
			return -errno;
		slash[slash == part] = '\0';
	}
	return 0;
}

int settings_store_options(const struct settings *settings, const struct config *config,
			   struct store_options *out)
{
	struct statvfs st;
	uint64_t total;
	int r;

	r = nearest_statvfs(settings->store, &st);
	if (r < 0)
		return log_error_errno(r, "%s", settings->store);
	total = (uint64_t)st.f_blocks * st.f_frsize;
	*out = (struct store_options){
		.path = settings->store,
		.size = config_amount_of(&config->store.size, total),
		.keep_free = config_amount_of(&config->store.keep_free, total),
	};
	return 0;
}
