#include "core/load.h"

#include <string.h>

void load_init(struct load *load, uint64_t now_us)
{
	memset(load, 0, sizeof(*load));
	load->began_us = now_us;
}

bool load_turn(struct load *load, uint64_t began_us, uint64_t waited_us, uint64_t now_us)
{
	uint64_t turn_us = now_us > began_us ? now_us - began_us : 0;

	load->busy_us += turn_us > waited_us ? turn_us - waited_us : 0;
	if (now_us < load->began_us + LOAD_INTERVAL_US)
		return false;
	load->interval_us = now_us - load->began_us;
	load->thousandths = load->busy_us < load->interval_us ? (unsigned)(load->busy_us * 1000 / load->interval_us) : 1000;
	load->began_us = now_us;
	load->busy_us = 0;
	return true;
}

uint64_t load_wait_us(const struct load *load, uint64_t wait_us)
{
	return (load->thousandths > LOAD_NOTHING || load->must_go_on) && wait_us > LOAD_INTERVAL_US ? LOAD_INTERVAL_US : wait_us;
}
