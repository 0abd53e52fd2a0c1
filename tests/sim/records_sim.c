/*
 * Call detail records in the simulator: in the place of core/record_file.c, whose thread would make runs differ. Counts
 * what is put; memory for it may be short as for the real one.
 */
#include "tests/sim/records_sim.h"

#include <assert.h>
#include <stdlib.h>

bool record_file_is_on(const struct record_file *file)
{
	return true;
}

bool record_file_put(struct record_file *file, struct slice line)
{
	char *text = malloc(line.n + 1);

	if (!text)
		return false;
	memcpy(text, line.p, line.n);
	text[line.n] = 0;
	assert(text[0] == '{' && strstr(text, "}\n") == text + line.n - 2); /* whole, and one */
	/* without an id it was refused before it was a session; one whose user is away goes on as a large message, and
	 * what goes to many was none */
	bool is_to_many = strstr(text, "\"to\":\"factory@") || strstr(text, "\"to\":\"group");
	file->sessions += strstr(text, "\"type\":\"session\",\"id\":\"") ||
			  (!is_to_many && strstr(text, "\"type\":\"large\",\"id\":\""));
	file->delivered += strstr(text, "\"type\":\"pager\"") && strstr(text, "\"reason\":\"delivered\"");
	free(text);
	return true;
}
