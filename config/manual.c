#include "config/manual.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

static const char beginning[] =
	".\\\" Written from config/schema.def.\n"
	".TH IMSERV.YAML 5 2026-11-21 imserv \"File formats\"\n"
	".nh\n"
	".ad l\n"
	".SH NAME\n"
	"imserv.yaml \\- configuration of imservd\n"
	".SH DESCRIPTION\n"
	"The configuration is what\n"
	".BR imservd (8)\n"
	"has built in, with the file of\n"
	".B \\-c\n"
	"over it, and over that every\n"
	".B \\-\\-set\n"
	"in its order.\n"
	"A file need say only what it wants otherwise: sections are merged key by key, while a list, such as\n"
	".BR listen ,\n"
	"is replaced as a whole.\n"
	"An unknown key is an error, and all errors are told at once, each with its line.\n"
	".B imservd \\-\\-check\\-config\n"
	"looks only for these;\n"
	".B imservd \\-\\-print\\-config\n"
	"prints every key with its value, as a file that means the same.\n"
	".PP\n"
	"The file is YAML, at most 1 MiB, without anchors, aliases, tags and merge keys.\n"
	"Sizes are octets, or have the unit KiB, MiB or GiB; times have ms, s, m, h or d (in places us); rates are N/s.\n"
	"Where it is said below, 0 or an empty text is off or unlimited.\n"
	"A relative path starts from the directory of the file, without a file from the working directory.\n"
	".SS Changing it while the server runs\n"
	"SIGHUP,\n"
	".B systemctl reload imserv\n"
	"or\n"
	".B imservctl reload\n"
	"read all of it again, file and\n"
	".BR \\-\\-set ,\n"
	"certificates and the log's file with it.\n"
	"It is all or nothing: when anything is wrong nothing changes, and the log and\n"
	".B imservctl\n"
	"say what is.\n"
	"Limits count at once, but end no session; other keys are for what begins afterwards: requests, sessions, connections.\n"
	"Keys marked\n"
	".B restart\n"
	"keep the value that they had; a reload that would change them names them, and changes the others.\n"
	".SH KEYS\n";

static const char ending[] =
	".SH EXAMPLE\n"
	"Alone on a network, with passwords and TLS:\n"
	".PP\n"
	".nf\n"
	"listen:\n"
	"  \\- {proto: tls,   address: \"192.0.2.1:5061\", tls: main}\n"
	"  \\- {proto: msrps, address: \"192.0.2.1:2856\", tls: main}\n"
	"  \\- {proto: http,  address: \"127.0.0.1:9090\"}\n"
	"tls:\n"
	"  \\- {name: main, cert: /etc/imserv/cert.pem, key: /etc/imserv/key.pem}\n"
	"domain: {home: example.org}\n"
	"core:   {authenticate: digest, users: provisioned}\n"
	".fi\n"
	".SH SEE ALSO\n"
	".BR imservd (8),\n"
	".BR imservctl (1)\n";

/* Nothing of a text may be taken for a request or an escape. */
static void put(const char *text, FILE *out)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

static void put_expectation(const struct schema_key *key, FILE *out)
{
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	if (memory)
		value_expectation(key, memory);
	if (memory && fclose(memory) == 0)
		put(text, out);
	free(text);
}

static void write_key(const struct schema_section *s, const struct schema_key *key, FILE *out)
{
	fputs(".TP\n.B ", out);
	put(s->name, out);
	fputs(s->entry_size ? "[]." : ".", out);
	put(key->name, out);
	fputc('\n', out);
	put(key->help, out);
	fputs(".\n.br\n", out);
	put_expectation(key, out);
	if (key->fallback) {
		fputs("; default ", out);
		put(key->fallback, out);
	} else {
		fputs(key->flags & REQUIRED ? "; must be given" : "; none by default", out);
	}
	fputs(key->flags & RESTART_ONLY ? "; a change takes a\n.BR restart .\n" : "; a\n.B reload\nchanges it.\n", out);
	if (key->flags & NOT_YET)
		fputs("Not yet in effect: it is read and checked, and nothing acts on it.\n", out);
}

void config_manual(FILE *out)
{
	fputs(beginning, out);
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		fprintf(out, ".SS %s\n", s->name);
		put(s->help, out);
		fputs(s->entry_size ? ".\nIt is a list, whose entries have these keys.\n" : ".\n", out);
		for (const struct schema_key *k = s->keys; k->name; k++)
			write_key(s, k, out);
	}
	fputs(ending, out);
}
