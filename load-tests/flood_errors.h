/*
 * Everything that can go wrong under load, written once: name in the JSON report and
 * what it means.  Any of them makes imflood exit with 1.
 */
#ifndef LOAD_TESTS_FLOOD_ERRORS_H
#define LOAD_TESTS_FLOOD_ERRORS_H

#define FLOOD_ERRORS(X)                                                                   \
	X(LOST, lost, "messages that never arrived whole at B")                           \
	X(UNCONFIRMED, unconfirmed, "messages that arrived but got no answer")          \
	X(UNSENT, unsent, "messages that were due but could not be sent before the end")  \
	X(DUPLICATE, duplicate, "chunks or answers that came more than once")             \
	X(ORDER, order, "chunks whose range does not continue the message")               \
	X(BODY, body, "chunks whose content is not what was sent")                        \
	X(FOREIGN, foreign, "chunks or answers of another session, path or message")      \
	X(STATUS, status, "SEND requests answered with other than 200")                   \
	X(ABORTED, aborted, "messages ended with #")                                      \
	X(SYNTAX, syntax, "MSRP streams that could not be read")                          \
	X(CLOSED, closed, "MSRP connections lost, refused or overrun")                    \
	X(SIP_STATUS, sip_status, "SIP requests refused")                                 \
	X(SIP_TIMEOUT, sip_timeout, "SIP requests without a final answer")                \
	X(SIP_SYNTAX, sip_syntax, "SIP messages that could not be read")                  \
	X(RELEASED, released, "sessions that the server ended unasked")                   \
	X(SETUP, setup, "sessions that were not up in time and got no refusal")

enum flood_error {
#define X(NAME, name, text) FLOOD_##NAME,
	FLOOD_ERRORS(X)
#undef X
		FLOOD_ERRORS_N
};

#endif
