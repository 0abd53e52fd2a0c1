#include "config/config.h"

#include <errno.h>
#include <stdlib.h>

#include "config/check.h"
#include "config/layers.h"
#include "config/paths.h"
#include "config/restart.h"
#include "config/schema.h"
#include "config/value.h"

#define EMBEDDED "embedded default"

const char config_default_yaml[] =
#include "imserv.yaml.h"
	;

struct load {
	struct config *config;
	struct config_errors *errors;
};

/* ---- mappings of keys ---- */

static void refuse_unknown(struct load *l, const struct node *n, const char *path,
			   const char *nearest)
{
	if (nearest)
		config_error(l->errors, n->place, path, "unknown key: did you mean %s?", nearest);
	else
		config_error(l->errors, n->place, path, "unknown key");
}

static const struct schema_key *key_of(const struct schema_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

/* True when both hold the same, judged by how they are written. */
static bool is_default(const struct schema_key *key, const void *section, struct load *l)
{
	struct { max_align_t room[64]; } fallback = { 0 };
	char *text[2] = { NULL, NULL };
	size_t n[2];
	const void *from[2] = { section, &fallback };
	bool is_same;

	if (key->offset + key->size > sizeof(fallback))
		return true;
	value_default(key, &fallback, l->errors);
	for (int i = 0; i < 2; i++) {
		FILE *out = open_memstream(&text[i], &n[i]);

		if (out)
			value_write(key, from[i], out); /* nothing written is a value too */
		if (!out || fclose(out) != 0)
			l->errors->out_of_memory = true;
	}
	is_same = text[0] && text[1] && strcmp(text[0], text[1]) == 0;
	value_free(key, &fallback);
	free(text[0]);
	free(text[1]);
	return is_same;
}

/* Fields of `fields` from `map`; what is not given gets its default. */
static void read_keys(struct load *l, const struct schema_key *keys, const struct node *map,
		      const char *path, void *fields)
{
	char name[160];

	for (const struct node *n = map->first; n; n = n->next) {
		snprintf(name, sizeof(name), "%s.%.80s", path, n->key);
		if (!key_of(keys, n->key))
			refuse_unknown(l, n, name, schema_nearest_key(keys, slice_str(n->key)));
	}
	for (const struct schema_key *k = keys; k->name; k++) {
		const struct node *n = node_entry(map, slice_str(k->name));
		unsigned before = l->errors->errors;

		snprintf(name, sizeof(name), "%s.%s", path, k->name);
		if (n)
			value_read(k, n, name, fields, l->errors);
		else if (k->flags & REQUIRED)
			config_error(l->errors, map->place, name, "missing: expected in every entry");
		else
			value_default(k, fields, l->errors);
		if (n && k->flags & NOT_YET && before == l->errors->errors &&
		    !is_default(k, fields, l))
			config_warning(l->errors, n->place, name, "not yet in effect");
	}
}

/* ---- sections ---- */

/* Every list is a pointer and a count (struct listen_list, struct tls_list). */
struct any_list {
	void *list;
	unsigned count;
};

static void read_list(struct load *l, const struct schema_section *s, const struct node *node)
{
	struct any_list *list = (void *)((char *)l->config + s->offset);
	char path[64];
	unsigned index = 0;

	if (!node || !node->first)
		return;
	list->list = calloc(node_count(node), s->entry_size);
	if (!list->list) {
		l->errors->out_of_memory = true;
		return;
	}
	for (const struct node *n = node->first; n; n = n->next, index++) {
		snprintf(path, sizeof(path), "%s[%u]", s->name, index);
		list->count++;
		if (n->kind == NODE_MAP)
			read_keys(l, s->keys, n, path, (char *)list->list + index * s->entry_size);
		else
			config_error(l->errors, n->place, path, "expected a mapping such as {%s: ...}",
				     s->keys->name);
	}
}

static void read_section(struct load *l, const struct schema_section *s, const struct node *root)
{
	const struct node *node = node_entry(root, slice_str(s->name));
	struct node nothing = { .kind = NODE_MAP, .place = root->place };
	bool is_list = s->entry_size > 0;

	if (node && node->kind != (is_list ? NODE_LIST : NODE_MAP)) {
		config_error(l->errors, node->place, s->name, "expected a %s",
			     is_list ? "list of mappings" : "mapping of keys");
		node = NULL;
	}
	if (is_list)
		read_list(l, s, node);
	else
		read_keys(l, s->keys, node ? node : &nothing, s->name,
			  (char *)l->config + s->offset);
}

static void read_root(struct load *l, const struct node *root)
{
	for (const struct node *n = root->first; n; n = n->next) {
		bool is_known = false;

		for (const struct schema_section *s = schema_sections; s->name; s++)
			is_known = is_known || strcmp(s->name, n->key) == 0;
		if (!is_known)
			refuse_unknown(l, n, n->key, schema_nearest_section(slice_str(n->key)));
	}
	for (const struct schema_section *s = schema_sections; s->name; s++)
		read_section(l, s, root);
}

/* ---- sources ---- */

/* The whole file, or one octet more than is allowed of a larger one; NULL after an error. */
static char *read_file(const char *name, size_t *n, struct config_errors *errors)
{
	char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
	FILE *in = text ? fopen(name, "re") : NULL;

	if (!text) {
		errors->out_of_memory = true;
		return NULL;
	}
	errno = in ? 0 : errno;
	*n = in ? fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, in) : 0;
	if (!in || ferror(in)) {
		config_error(errors, (struct config_place){ name, 0 }, "", "cannot be read: %s",
			     strerror(errno));
		free(text);
		text = NULL;
	}
	if (in)
		fclose(in); /* only read from: nothing can be lost */
	return text;
}

static void merge_file(struct tree *tree, struct node *root, const char *name,
		       struct config_errors *errors)
{
	size_t n;
	char *text = read_file(name, &n, errors);
	struct node *node = text ? tree_parse(tree, slice_of(text, n), name, true, errors) : NULL;

	free(text);
	if (!node)
		return;
	if (node->kind == NODE_SCALAR && node->is_null)
		return;
	if (node->kind == NODE_MAP)
		layers_merge(root, node);
	else
		config_error(errors, node->place, "", "expected a mapping of sections");
}

static char *directory_of(const char *file)
{
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (!slash)
		return strdup("");
	return slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
}

/* One that is not there is told as it was named. */
static char *name_of(const char *file)
{
	char *path = file ? realpath(file, NULL) : NULL;

	return path ? path : strdup(file ? file : "");
}

static bool has_failed(const struct config_errors *errors)
{
	return errors->errors || errors->out_of_memory;
}

/* All layers; NULL after an error that leaves nothing to look at. */
static struct node *read_layers(struct tree *tree, const struct config_source *source, struct config_errors *errors)
{
	struct node *root = tree_parse(tree, slice_str(config_default_yaml), EMBEDDED, true, errors);

	if (!root) {
		errors->out_of_memory = true;
		return NULL;
	}
	if (source->file)
		merge_file(tree, root, source->file, errors);
	for (unsigned i = 0; i < source->set_count; i++)
		layers_set(tree, root, source->set[i], errors);
	return root;
}

/* What `root` says, checked; NULL after an error. */
static struct config *read_config(const struct node *root, const struct config_source *source,
				  struct config_errors *errors)
{
	struct load l = { calloc(1, sizeof(struct config)), errors };

	if (!l.config || !(l.config->directory = directory_of(source->file)) ||
	    !(l.config->file = name_of(source->file))) {
		config_free(l.config);
		errors->out_of_memory = true;
		return NULL;
	}
	read_root(&l, root);
	config_check(l.config, root, source->insecure, errors);
	config_check_paths(l.config, root, source->paths, errors);
	if (!has_failed(errors))
		return l.config;
	config_free(l.config);
	return NULL;
}

static int result_of(const struct config_errors *errors)
{
	return errors->out_of_memory ? ENOMEM : errors->errors ? EINVAL : 0;
}

int config_load(struct config **out, const struct config_source *source,
		struct config_errors *errors)
{
	struct tree tree = { 0 };
	struct node *root = read_layers(&tree, source, errors);
	struct config *config = root ? read_config(root, source, errors) : NULL;

	tree_free(&tree);
	if (config)
		*out = config;
	return result_of(errors);
}

/* `written` with the restart-only keys of `running`; takes `written` over.  Of its warnings only those of keys
 * that stay would be new, and they were said at the start. */
static struct config *keep_restart(struct config *written, struct tree *tree, struct node *root,
				   const struct config_source *source, const struct config *running,
				   struct text_list *restart, struct config_errors *errors)
{
	struct config_errors again = { 0 };
	struct config *effective = NULL;

	if (restart_changes(written, running, restart) != 0)
		again.out_of_memory = true;
	else if (!restart->count)
		return written;
	else if (restart_keep(tree, root, restart, running, &again) != 0)
		again.out_of_memory = true;
	else
		effective = read_config(root, source, &again);
	config_errors_take(errors, &again);
	config_free(written);
	return effective;
}

int config_reload(struct config **out, const struct config_source *source, const struct config *running,
		  struct text_list *restart, struct config_errors *errors)
{
	struct config_source again = *source;
	struct tree tree = { 0 };

	again.paths = CONFIG_PATHS_LOG;
	struct node *root = read_layers(&tree, &again, errors);
	struct config *config = root ? read_config(root, &again, errors) : NULL;

	*restart = (struct text_list){ 0 };
	if (config)
		config = keep_restart(config, &tree, root, &again, running, restart, errors);
	tree_free(&tree);
	if (config)
		*out = config;
	return result_of(errors);
}

/* ---- what is loaded ---- */

static void free_keys(const struct schema_key *keys, void *fields)
{
	for (; keys->name; keys++)
		value_free(keys, fields);
}

static void free_section(const struct schema_section *s, void *at)
{
	struct any_list *list = at;

	if (!s->entry_size) {
		free_keys(s->keys, at);
		return;
	}
	for (unsigned i = 0; i < list->count; i++)
		free_keys(s->keys, (char *)list->list + i * s->entry_size);
	free(list->list);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (const struct schema_section *s = schema_sections; s->name; s++)
		free_section(s, (char *)config + s->offset);
	free(config->core.hop.host);
	free(config->directory);
	free(config->file);
	free(config);
}

char *config_path(const struct config *config, const char *path)
{
	char *joined;

	if (path[0] == '/' || path[0] == '\0' || config->directory[0] == '\0')
		return strdup(path);
	if (asprintf(&joined, "%s/%s", config->directory, path) < 0)
		return NULL;
	return joined;
}
