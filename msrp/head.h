/*
 * What stands in the head of a chunk: see struct msrp_head.  The parser (chunk.h) finds where it
 * ends, and that no LF is without its CR.
 *
 * Any thread; pure functions.  Slices set in *head point into what is given here.
 */
#ifndef MSRP_HEAD_H
#define MSRP_HEAD_H

#include "msrp/chunk.h"

/* Without its CRLF; it begins with "MSRP ". */
enum msrp_reason msrp_head_parse_start_line(struct slice line, struct msrp_head *head);

/* All header lines, each with its CRLF, after the start line was parsed. */
enum msrp_reason msrp_head_parse_lines(struct slice lines, struct msrp_head *head);

#endif
