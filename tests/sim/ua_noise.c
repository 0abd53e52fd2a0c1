/*
 * A client that talks nonsense: octets of no meaning, and requests that were
 * good until something was changed in them.  What it is answered is nobody's
 * concern; what it does to others and leaves behind is.
 */
#include <arpa/inet.h>

#include "tests/sim/ua_internal.h"

#define NOISE_MAX 3000

static void put_octets(struct world *w, struct buffer *out, unsigned n)
{
	while (n--)
		buffer_char(out, (char)world_below(w, 256));
}

/* To nobody, so that none of it can be taken for something that a client of the scenario said. */
static void put_sip(struct ua *ua, struct buffer *out)
{
	static const char *const methods[] = { "MESSAGE", "INVITE", "BYE", "CANCEL", "ACK",
		"REGISTER", "OPTIONS", "SUBSCRIBE", "PUBLISH", "UPDATE", "X" };
	struct world *w = world_of(ua);
	const char *method = methods[world_below(w, sizeof(methods) / sizeof(methods[0]))];
	char name[40], length[16] = "5";

	ua_name(ua->host, name, sizeof(name), "n");
	if (world_chance(w, 20))
		snprintf(length, sizeof(length), "%s", world_chance(w, 50) ? "-1" : "4294967328");
	if (world_chance(w, 20))
		buffer_printf(out, "SIP/2.0 %u Noise\r\n", 100 + world_below(w, 600));
	else
		buffer_printf(out, "%s sip:nobody%s@example.com SIP/2.0\r\n", method, name);
	buffer_printf(out, "Via: SIP/2.0/%s 127.0.0.1:9;branch=z9hG4bK%s\r\nMax-Forwards: %u\r\n",
		ua->is_tcp ? "TCP" : "UDP", name, world_below(w, 3));
	buffer_printf(out, "From: <sip:%s@example.com>;tag=%s\r\n"
		"To: <sip:nobody%s@example.com>%s%s\r\n", ua->name, name, name,
		world_chance(w, 30) ? ";tag=" : "", world_chance(w, 50) ? name : "");
	buffer_printf(out, "Call-ID: %s\r\nCSeq: 1 %s\r\nContact: <sip:%s@127.0.0.1:9>\r\n"
		"Expires: 60\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\nnoise",
		name, method, ua->name, length);
}

static void put_msrp(struct ua *ua, struct buffer *out)
{
	struct world *w = world_of(ua);
	char name[40];

	ua_name(ua->host, name, sizeof(name), "n");
	buffer_printf(out, "MSRP %s %s\r\n"
		"To-Path: msrp://127.0.0.1:2855/%saaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;tcp\r\n"
		"From-Path: msrp://127.0.0.1:9/%s;tcp\r\nMessage-ID: %s\r\n", name,
		world_chance(w, 70) ? "SEND" : "200 OK", name, name, name);
	buffer_printf(out, "Byte-Range: 1-%u/%u\r\nContent-Type: text/plain\r\n\r\n"
		"noise\r\n-------%s%c\r\n", world_below(w, 10), world_below(w, 10), name,
		"$+#"[world_below(w, 3)]);
}

/* A few octets become others, or go, or what follows goes. */
static void mutate(struct world *w, struct buffer *text)
{
	for (unsigned changes = world_below(w, 4); changes && text->n; changes--) {
		size_t at = world_below(w, (unsigned)text->n);
		switch (world_below(w, 4)) {
		case 0:
			text->p[at] = (char)world_below(w, 256);
			break;
		case 1:
			memmove(text->p + at, text->p + at + 1, --text->n - at);
			break;
		case 2:
			text->p[at] = "\r\n:;<>\" "[world_below(w, 8)];
			break;
		case 3:
			if (world_chance(w, 20))
				text->n = at;
			break;
		}
	}
}

static void put_noise(struct ua *ua, struct buffer *out, bool is_msrp)
{
	struct world *w = world_of(ua);

	if (world_chance(w, 25)) {
		put_octets(w, out, 1 + world_below(w, NOISE_MAX));
		return;
	}
	if (is_msrp)
		put_msrp(ua, out);
	else
		put_sip(ua, out);
	mutate(w, out);
}

void ua_make_noise(struct ua *ua, bool is_msrp)
{
	char text[NOISE_MAX + 1];
	struct buffer out = buffer_over(text, sizeof(text));
	struct sockaddr_storage to;
	struct link *link;

	ua->is_noise = true;
	put_noise(ua, &out, is_msrp);
	if (!is_msrp && !ua->is_tcp) {
		ua_udp_write(ua, buffer_slice(&out));
		return;
	}
	world_sip_address(world_of(ua), true, &to);
	if (is_msrp)
		((struct sockaddr_in *)&to)->sin_port = htons(2855);
	link = ua_link_connect(ua, &to, is_msrp);
	ua_link_write(link, buffer_slice(&out));
	if (world_chance(world_of(ua), 50)) { /* perhaps after the first was answered */
		out.n = 0;
		put_noise(ua, &out, is_msrp);
		ua_link_write(link, buffer_slice(&out));
	}
}

void ua_garble_msrp(struct call *call)
{
	char text[NOISE_MAX + 1];
	struct buffer out = buffer_over(text, sizeof(text));

	if (!call->leg || !call->leg->link)
		return;
	call->leg->link->is_garbled = call->is_garbled = true;
	put_noise(call->ua, &out, true);
	ua_link_write(call->leg->link, buffer_slice(&out));
}
