/* Writes imserv.yaml.5 while the server is built. */
#include "config/manual.h"

int main(void)
{
	config_manual(stdout);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
