#include "load-tests/plot.h"

#include <math.h>

#define WIDTH    560.0
#define HEIGHT   210.0
#define LEFT     48.0
#define RIGHT    12.0
#define TOP      10.0
#define BOTTOM   28.0
#define TICKS    6   /* about so many on an axis */
#define POINTS   600 /* of a line; beyond that each is the highest of its stretch */

/* Told apart by the colour-blind, too (Okabe and Ito), and dark enough for paper. */
static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#555555", "#a00000" };
static const char *const dashes[] = { "none", "6 3", "2 2", "10 3 2 3" };

struct axis {
	double low, high;
	bool is_log;
};

void html_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*text, f);
		}
	}
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that about TICKS of them make the span. */
static double nice_step(double span)
{
	double power = pow(10, floor(log10(span / TICKS))), part = span / TICKS / power;

	return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static double place(const struct axis *a, double value, double from, double to)
{
	double low = a->is_log ? log10(a->low) : a->low, high = a->is_log ? log10(a->high) : a->high;
	double at = a->is_log ? log10(value) : value;

	return from + (at - low) / (high - low) * (to - from);
}

static bool is_shown(const struct plot *p, double y)
{
	return !isnan(y) && (!p->is_log || y > 0);
}

static bool find_axes(const struct plot *p, struct axis *x, struct axis *y)
{
	bool any = false;

	*x = (struct axis){ 0, 0, false };
	*y = (struct axis){ INFINITY, 0, p->is_log };
	for (unsigned k = 0; k < p->lines_n; k++) {
		const struct plot_line *line = &p->lines[k];
		for (size_t i = 0; i < line->n; i++) {
			double value = line->y[i] * line->scale;
			if (!is_shown(p, value))
				continue;
			any = true;
			x->high = fmax(x->high, line->x[i]);
			y->high = fmax(y->high, value);
			y->low = fmin(y->low, value);
		}
	}
	if (p->is_log) {
		y->low = pow(10, floor(log10(y->low)));
		y->high = pow(10, ceil(log10(y->high * 1.0001)));
	} else { /* from 0: what is twice as much looks twice as much */
		y->low = 0;
		y->high = y->high > 0 ? y->high : 1;
		y->high = ceil(y->high / nice_step(y->high)) * nice_step(y->high);
	}
	x->high = x->high > 0 ? x->high : 1;
	return any;
}

static void number_write(FILE *f, double value)
{
	if (value >= 1e6)
		fprintf(f, "%gM", value / 1e6);
	else if (value >= 1e4)
		fprintf(f, "%gk", value / 1e3);
	else
		fprintf(f, "%g", value);
}

static void y_tick(FILE *f, const struct axis *y, double value)
{
	double at = place(y, value, HEIGHT - BOTTOM, TOP);

	fprintf(f, "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" class=\"grid\"/><text x=\"%g\" y=\"%.1f\" class=\"y\">", LEFT,
		WIDTH - RIGHT, at, at, LEFT - 6, at + 4);
	number_write(f, value);
	fprintf(f, "</text>\n");
}

static void axes_write(FILE *f, const struct axis *x, const struct axis *y)
{
	double step = nice_step(x->high);

	if (y->is_log) {
		for (double value = y->low; value <= y->high * 1.001; value *= 10)
			y_tick(f, y, value);
	} else {
		for (double value = 0; value <= y->high * 1.001; value += nice_step(y->high))
			y_tick(f, y, value);
	}
	for (double value = 0; value <= x->high * 1.001; value += step)
		fprintf(f, "<text x=\"%.1f\" y=\"%g\" class=\"x\">%g s</text>\n", place(x, value, LEFT, WIDTH - RIGHT),
			HEIGHT - 8, value);
}

/* ---- lines ---- */

static void line_write(FILE *f, const struct plot *p, const struct plot_line *line, const struct axis *x,
		       const struct axis *y)
{
	size_t each = line->n / POINTS + 1;
	bool is_pen_down = false;

	fprintf(f, "<path class=\"line\" stroke=\"%s\" stroke-dasharray=\"%s\" d=\"", colours[line->colour % 8],
		dashes[line->dash % 4]);
	for (size_t i = 0; i < line->n; i += each) {
		double highest = NAN;
		for (size_t k = i; k < i + each && k < line->n; k++)
			highest = fmax(highest, line->y[k] * line->scale); /* NAN is left out */
		if (!is_shown(p, highest)) {
			is_pen_down = false;
			continue;
		}
		fprintf(f, "%c%.1f %.1f", is_pen_down ? 'L' : 'M', place(x, line->x[i], LEFT, WIDTH - RIGHT),
			place(y, highest, HEIGHT - BOTTOM, TOP));
		is_pen_down = true;
	}
	fprintf(f, "\"><title>");
	html_text(f, line->name);
	fprintf(f, "</title></path>\n");
}

static void legend_write(FILE *f, const struct plot *p)
{
	fprintf(f, "<p class=\"legend\">");
	for (unsigned k = 0; k < p->lines_n; k++) {
		const struct plot_line *line = &p->lines[k];
		fprintf(f,
			"<span><svg viewBox=\"0 0 30 8\" aria-hidden=\"true\"><path class=\"line\" stroke=\"%s\" "
			"stroke-dasharray=\"%s\" d=\"M0 4L30 4\"/></svg>",
			colours[line->colour % 8], dashes[line->dash % 4]);
		html_text(f, line->name);
		fprintf(f, "</span> ");
	}
	fprintf(f, "</p>\n");
}

void plot_write(FILE *f, const struct plot *p)
{
	struct axis x, y;

	if (!find_axes(p, &x, &y))
		return;
	fprintf(f, "<figure><figcaption>");
	html_text(f, p->title);
	fprintf(f, " <small>");
	html_text(f, p->unit);
	fprintf(f, "</small></figcaption>\n<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	html_text(f, p->title);
	fprintf(f, "\">\n");
	if (p->to > p->from)
		fprintf(f, "<rect class=\"measured\" x=\"%.1f\" width=\"%.1f\" y=\"%g\" height=\"%g\"/>\n",
			place(&x, p->from, LEFT, WIDTH - RIGHT),
			place(&x, p->to, LEFT, WIDTH - RIGHT) - place(&x, p->from, LEFT, WIDTH - RIGHT), TOP,
			HEIGHT - TOP - BOTTOM);
	axes_write(f, &x, &y);
	for (unsigned k = 0; k < p->lines_n; k++)
		line_write(f, p, &p->lines[k], &x, &y);
	fprintf(f, "</svg>\n");
	legend_write(f, p);
	fprintf(f, "</figure>\n");
}
