/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of weightfs.conf: inih takes a line apart, everything else is here.
 *
 * inih is lenient where a configuration must not be, so read_line() sees each line first:
 *  - inih tells its handler no line number: read_line() counts, and the handler runs before the
 *    next line is read.
 *  - A line that does not fit inih's buffer (200 bytes unless told otherwise) would be cut and its
 *    rest read as another line: the buffer is made larger, and what does not fit is refused.
 *  - A section without a key is never reported, its name is cut after 49 bytes, and what follows
 *    the ']' is ignored: open_section() reads headers, and inih sees an empty line instead.
 *  - An indented line would continue the value above, and the second key of an indented section
 *    would be lost in the first: that is turned off, indentation means nothing.
 *  - A NUL byte would end a line early: control characters are refused.
 *
 * The first mistake ends the run: config_fail() sets RESULT once, and no line is read after it.
 */
#include "config/parse.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 8192 /* inih's buffer: signed URLs are long */

/* The first mistake is the one that is told. Returns 0: what inih's handler says to stop. */
int config_fail(struct config_parser *p, unsigned int line, const char *format, ...)
{
	va_list args;

	if (p->result)
		return 0;
	p->result = -EINVAL;
	p->error->line = line;
	va_start(args, format);
	vsnprintf(p->error->message, sizeof(p->error->message), format, args);
	va_end(args);
	return 0;
}

void config_fail_memory(struct config_parser *p)
{
	if (p->result)
		return;
	config_fail(p, p->line, "out of memory");
	p->result = -ENOMEM;
}

/* "source lab", or the section's name alone. */
static const char *section_title(const struct config_parser *p, char out[CONFIG_NAME_MAX + 16])
{
	snprintf(out, CONFIG_NAME_MAX + 16, "%s%s%s", p->section->name, p->target_name ? " " : "",
		 p->target_name ? p->target_name : "");
	return out;
}

static void finish_section(struct config_parser *p)
{
	if (!p->result && p->section && p->section->finish)
		p->section->finish(p);
	p->section = NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *at)
{
	while (is_blank(*at))
		at++;
	return at;
}

static bool is_name(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"._-";
	size_t len = strlen(name);

	return len > 0 && len <= CONFIG_NAME_MAX && strspn(name, allowed) == len;
}

/* TITLE is what stands between the brackets: a word and, for some, a name. */
static void open_section(struct config_parser *p, char *title)
{
	size_t word = strcspn(title, " \t");
	char *name = skip_blanks(title + word);
	size_t i;

	finish_section(p);
	if (p->result)
		return;
	title[word] = '\0';
	for (i = 0; i < CONFIG_SECTIONS; i++) {
		if (strcmp(config_sections[i].name, title) == 0)
			break;
	}
	if (i == CONFIG_SECTIONS) {
		config_fail(p, p->line, "unknown section [%.64s]", title);
	} else if (!config_sections[i].keys) {
		config_fail(p, p->line, "section [%s] is not supported by this version", title);
	} else if (!config_sections[i].open && *name) {
		config_fail(p, p->line, "section [%s] takes no name", title);
	} else if (!config_sections[i].open && p->section_lines[i]) {
		config_fail(p, p->line, "section [%s] again: the first is in line %u", title,
			    p->section_lines[i]);
	} else if (config_sections[i].open && !is_name(name)) {
		config_fail(p, p->line,
			    "[%s NAME] needs a name of 1 to %d letters, digits, dots, dashes and "
			    "underscores",
			    title, CONFIG_NAME_MAX);
	} else {
		p->target = config_sections[i].open ? NULL : &p->config;
		p->target_name = NULL;
		p->header_line = p->section_lines[i] = p->line;
		memset(p->key_lines, 0, sizeof(p->key_lines));
		if (config_sections[i].open)
			config_sections[i].open(p, name);
		/* Never with the target of another section. */
		p->section = p->target ? &config_sections[i] : NULL;
	}
}

/* A line that begins with '['. After the ']' only a comment may follow. */
static void read_header(struct config_parser *p, char *line)
{
	char *close = strchr(line, ']');
	char *title = skip_blanks(line + 1), *rest;

	if (!close) {
		config_fail(p, p->line, "a section without \"]\"");
		return;
	}
	rest = skip_blanks(close + 1);
	if (*rest && (*rest != ';' || rest == close + 1)) {
		config_fail(p, p->line, "\"%.64s\" after the section's \"]\"", close + 1);
		return;
	}
	while (close > title && is_blank(close[-1]))
		close--;
	*close = '\0';
	open_section(p, title);
}

/* inih's section is not looked at: it never saw one. */
static int on_key(void *arg, const char *inih_section, const char *name, const char *value)
{
	struct config_parser *p = arg;
	char title[CONFIG_NAME_MAX + 16];
	const struct config_key *key;
	unsigned int *line;
	int r;

	if (!p->section)
		return config_fail(p, p->line, "key \"%.64s\" before the first section", name);
	section_title(p, title);
	for (key = p->section->keys; key->name && strcmp(key->name, name) != 0; key++)
		;
	if (!key->name)
		return config_fail(p, p->line, "[%s] unknown key \"%.64s\"", title, name);
	if (!key->set)
		return config_fail(p, p->line, "[%s] %s is not supported by this version", title,
				   name);
	line = &p->key_lines[key - p->section->keys];
	if (*line && !key->repeatable)
		return config_fail(p, p->line, "[%s] %s again: the first is in line %u", title,
				   name, *line);
	*line = p->line;
	if (!*value)
		return config_fail(p, p->line, "[%s] %s has no value", title, name);
	if (strstr(value, " #") || strstr(value, "\t#"))
		return config_fail(p, p->line, "[%s] %s: a comment after a value begins with \";\"",
				   title, name);
	r = key->set(p, key, value, (char *)p->target + key->offset);
	if (r == -ENOMEM)
		config_fail_memory(p);
	else if (r < 0)
		config_fail(p, p->line, "[%s] %s = %.64s: must be %s", title, name, value,
			    key->expected);
	return r == 0;
}

/* ---- lines ---- */

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* What inih calls for the next line, like fgets(): into BUFFER of SIZE bytes, NULL at the end. */
static char *read_line(char *buffer, int size, void *arg)
{
	struct config_parser *p = arg;
	const char *newline, *end;
	char *start;
	size_t len;

	if (p->result || p->text == p->end)
		return NULL;
	newline = memchr(p->text, '\n', (size_t)(p->end - p->text));
	end = newline ? newline : p->end;
	p->line++;
	len = (size_t)(end - p->text);
	if (len > 0 && end[-1] == '\r')
		len--;
	/* With room to spare: inih takes a full buffer for a line that goes on. */
	if (len + 2 > (size_t)size) {
		config_fail(p, p->line, "line of more than %d bytes", size - 2);
		return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_control(p->text[i]))
			continue;
		config_fail(p, p->line, "control character 0x%02x at byte %zu of the line",
			    (unsigned char)p->text[i], i + 1);
		return NULL;
	}
	memcpy(buffer, p->text, len);
	buffer[len] = '\0';
	p->text = newline ? newline + 1 : p->end;

	start = skip_blanks(buffer);
	if (*start == '[') {
		read_header(p, start);
		*buffer = '\0';
	}
	return buffer;
}

static void parse_lines(struct config_parser *p)
{
	static const char bom[] = {'\xef', '\xbb', '\xbf'};
	int r;

	if (p->end - p->text >= (ptrdiff_t)sizeof(bom) && memcmp(p->text, bom, sizeof(bom)) == 0)
		p->text += sizeof(bom);

	ini_use_stack = false;
	ini_initial_alloc = ini_max_line = LINE_SIZE;
	ini_allow_realloc = false;
	ini_allow_multiline = false;
	ini_allow_no_value = false;
	ini_allow_bom = false;
	ini_stop_on_first_error = true;
	r = ini_parse_stream(read_line, p, on_key, p);
	if (r < -1)
		config_fail_memory(p);
	else if (r != 0)
		config_fail(p, p->line, "neither \"[section]\" nor \"key = value\"");
	finish_section(p);
}

/* The folder of NAME, absolute: the daemon leaves the folder that it was started in. */
static int folder_of(const char *name, char **out)
{
	const char *slash = strrchr(name, '/');
	int len = slash ? (int)(slash - name) : 0, n;
	_cleanup_free_ char *cwd = NULL;

	if (*name == '/') {
		n = asprintf(out, "%.*s", len, name);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return -errno;
		n = asprintf(out, "%s%s%.*s", cwd, len ? "/" : "", len, name);
	}
	return n < 0 ? -ENOMEM : 0;
}

int config_parse(const char *name, const char *text, size_t len, struct config *out,
		 struct config_error *error)
{
	struct config_parser p = {.text = text, .end = text + len, .error = error};
	_cleanup_free_ char *folder = NULL;
	int r;

	*error = (struct config_error){0};
	snprintf(error->file, sizeof(error->file), "%s", name);
	r = folder_of(name, &folder);
	if (r < 0) {
		errno = -r;
		snprintf(error->message, sizeof(error->message), "its folder cannot be found: %m");
		return r;
	}
	p.folder = folder;
	config_defaults(&p.config);
	parse_lines(&p);
	if (p.result) {
		config_free(&p.config);
		return p.result;
	}
	*out = p.config;
	return 0;
}
