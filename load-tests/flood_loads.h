/*
 * The kinds of load that imflood makes, written once: name in the options and the JSON report, what one of them is
 * called in text, its unit, and what its two times end with.
 */
#ifndef LOAD_TESTS_FLOOD_LOADS_H
#define LOAD_TESTS_FLOOD_LOADS_H

#define FLOOD_LOADS(X)                                                              \
	X(MESSAGE, message, "messages in sessions", "msg/s", "arrival at B", "200 at A")        \
	X(SESSION, session, "sessions set up and released", "sessions/s", "INVITE to bound", "BYE answered") \
	X(PAGER, pager, "pager messages", "MESSAGE/s", "arrival at B", "2xx at A")              \
	X(REGISTER, register, "registrations refreshed", "REGISTER/s", "200 to REGISTER", "") \
	X(REINVITE, reinvite, "sessions refreshed", "re-INVITE/s", "200 to re-INVITE", "")      \
	X(DEFERRED, deferred, "messages stored", "MESSAGE/s", "202 at A", "")                   \
	X(COPY, copy, "copies of messages in rooms", "copies/s", "arrival at a member", "200 at the sender") \
	X(PUSH, push, "stored messages delivered", "MESSAGE/s", "REGISTER to B", "")

enum flood_load {
#define X(NAME, name, text, unit, done, confirmed) LOAD_##NAME,
	FLOOD_LOADS(X)
#undef X
		FLOOD_LOADS_N
};

#endif
