/*
 * A plot of some lines over time as inline SVG with its legend as HTML: no script, no external resource, told apart on
 * paper by dashes as well as by colour.
 */
#ifndef LOAD_TESTS_PLOT_H
#define LOAD_TESTS_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PLOT_LINES_MAX 64

struct plot_line {
	char name[160];
	unsigned colour, dash; /* any numbers: the same number looks the same in all plots */
	const double *x, *y;   /* y NAN: a gap */
	size_t n;
	double scale; /* y is multiplied by it */
};

struct plot {
	const char *title, *unit;
	bool is_log;
	double from, to; /* on the x axis a stretch that is marked; equal: none */
	struct plot_line lines[PLOT_LINES_MAX];
	unsigned lines_n;
};

/* Writes nothing when no line has a point. */
void plot_write(FILE *f, const struct plot *p);

/* Text between tags or in an attribute. */
void html_text(FILE *f, const char *text);

#endif
