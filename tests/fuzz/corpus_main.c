/*
 * main() for a fuzz target where there is no fuzzing engine: gives it every file of the folders
 * named as arguments, whole and once more for every octet with that octet damaged, so that a
 * corpus is an ordinary test too.  Each input is a heap copy of its exact size.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libFuzzer calls; each fuzz_*.c has one. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n);

enum { FILE_OCTETS_MAX = 65536 };

static void run(const uint8_t *input, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, input, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void run_file(const char *path)
{
	static uint8_t input[FILE_OCTETS_MAX];
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file) {
		perror(path);
		exit(1);
	}
	n = fread(input, 1, sizeof(input), file);
	fclose(file);
	run(input, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t kept = input[i];

		input[i] = (uint8_t)(kept ^ 1u << i % 8);
		run(input, n);
		input[i] = kept;
	}
}

/* How many files there were. */
static unsigned run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;
	char path[4096];

	if (!dir) {
		perror(folder);
		exit(1);
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		run_file(path);
		count++;
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		count += run_folder(argv[i]);
	printf("%u files\n", count);
	return count ? 0 : 1; /* an empty corpus tests nothing */
}
