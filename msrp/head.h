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

/* Where the lines begin with exactly these two paths, To-Path first (RFC 4975 9): sets what the head says of them.
 * The octets of the two lines, or 0. */
size_t msrp_head_take_paths(struct slice lines, struct slice to_path, struct slice from_path, struct msrp_head *head);

/* All header lines, each with its CRLF, after the start line was parsed; the first `taken` octets were taken. */
enum msrp_reason msrp_head_parse_lines(struct slice lines, size_t taken, struct msrp_head *head);

#endif
