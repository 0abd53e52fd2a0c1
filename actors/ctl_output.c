/* imservctl: how results and errors look. */
#include "actors/ctl.h"

#include <errno.h>

/* ---- text ---- */

/* U+0080 to U+009F are commands to some terminals, as are the octets below a blank. */
static size_t control_at(const unsigned char *text)
{
	if (*text < ' ' || *text == 0x7f)
		return 1;
	return text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0 ? 2 : 0;
}

void ctl_print_clean(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		size_t n = control_at(p);
		fputc(n ? ' ' : *p, out);
		p += n ? n : 1;
	}
}

void ctl_print_field(const char *name, const char *value)
{
	printf("%-16s ", name);
	ctl_print_clean(stdout, value);
	putchar('\n');
}

const char *ctl_text(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

long long ctl_number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_real(value) ? (long long)json_real_value(value) : (long long)json_integer_value(value);
}

void ctl_put_duration(struct buffer *out, double seconds)
{
	unsigned long long s = seconds > 0 ? (unsigned long long)seconds : 0;

	if (s < 60)
		buffer_printf(out, "%llus", s);
	else if (s < 3600)
		buffer_printf(out, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		buffer_printf(out, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		buffer_printf(out, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

void ctl_put_octets(struct buffer *out, long long octets)
{
	static const char units[] = "KMGTP";
	double n = (double)octets;
	size_t unit = 0;

	if (octets < 1024) {
		buffer_printf(out, "%lld", octets);
		return;
	}
	for (n /= 1024; n >= 1024 && units[unit + 1]; n /= 1024)
		unit++;
	buffer_printf(out, "%.1f%c", n, units[unit]);
}

/* ---- JSON and errors ---- */

static bool is_cut; /* there was no memory for a part of what is told */

void ctl_print_part(json_t *json, size_t flags)
{
	if (json_dumpf(json, stdout, flags | JSON_REAL_PRECISION(12)) != 0)
		is_cut = true;
}

void ctl_print_json(json_t *json)
{
	ctl_print_part(json, JSON_INDENT(2));
	putchar('\n');
}

void ctl_tell_error(const struct ctl *ctl, unsigned error, const char *reason)
{
	fputs("imservctl: ", stderr);
	ctl_print_clean(stderr, reason);
	fputc('\n', stderr);
	if (!ctl->is_json)
		return;
	/* a word of the command line may be no UTF-8, which JSON has to be */
	json_t *json = json_pack("{s:i,s:s}", "error", (int)error, "reason", reason);
	if (!json)
		json = json_pack("{s:i,s:s}", "error", (int)error, "reason", "see standard error");
	ctl_print_json(json);
	json_decref(json);
}

int ctl_finish(int code)
{
	bool is_lost = ferror(stdout) != 0;

	if (fflush(stdout) != 0)
		is_lost = true;
	if (!is_lost && !is_cut)
		return code;
	/* nobody reads on: that is no news to who closed the pipe */
	if (!is_lost)
		fputs("imservctl: no memory for all of the output\n", stderr);
	else if (errno != EPIPE)
		fprintf(stderr, "imservctl: standard output: %s\n", errno ? strerror(errno) : "not all was written");
	return code ? code : CTL_REFUSED;
}
