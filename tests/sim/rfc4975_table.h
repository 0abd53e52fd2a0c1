/*
 * The table of RFC 4975 (tests/rfc4975.txt, whose head says what its lines
 * mean): reading it, and the octets and patterns of its lines in one play.
 */
#ifndef TESTS_SIM_RFC4975_TABLE_H
#define TESTS_SIM_RFC4975_TABLE_H

#include "core/slice.h"

#define TABLE_SIDES     3 /* A, B and C */
#define TABLE_NAMES_MAX 24 /* of a case */
#define TABLE_STEPS_MAX 100

enum step_kind { STEP_WRITES, STEP_HEARS, STEP_IS_CLOSED, STEP_CLOSES, STEP_OVER, STEP_AFTER, STEP_THEN };

struct step {
	enum step_kind kind;
	unsigned side;           /* 0: A */
	unsigned line_number, seconds;
	struct slice *lines;     /* as they stand in the file */
	size_t line_count;
};

struct table_case {
	struct slice name;
	unsigned line_number, rules;
	bool is_unbound[2], is_passive, has_relay; /* setup */
	struct step *steps;
	size_t step_count;
};

struct table {
	char *text;              /* all slices point into it */
	struct table_case *cases;
	size_t case_count;
};

/* False: *why says what is wrong with *line_number of the file. */
bool table_read(struct table *table, const char *path, const char **why, unsigned *line_number);
void table_free(struct table *table);
bool table_case_lives(const struct table_case *c); /* its session can be used again */

/* What the names of a side stand for; C has none of its own. */
struct side_names {
	char to[256], me[256], me1[256], host[80], id[128], ID[128], my_host[80], my_id[80];
};

struct play {
	const struct side_names *sides; /* of A and B */
	unsigned *fresh;                /* numbers the idents that are made */
	struct {
		char name[24], octets[40];
		size_t n;
		bool was_heard;
	} names[TABLE_NAMES_MAX];
	size_t name_count;
};

/* What is written in this step; the caller frees it. */
struct slice play_octets(struct play *play, const struct step *step);

enum match { MATCH_MORE, MATCH_WHOLE, MATCH_WRONG };

/* Whether `octets` begin with what must come; *used: how many are so, up to where they differ.  On
 * MATCH_WHOLE the play knows the names in it. */
enum match play_match(struct play *play, const struct step *step, struct slice octets, size_t *used);

#endif
