/* `imflood report`: records of runs, as one HTML file that needs nothing beside it. */
#ifndef LOAD_TESTS_REPORT_PAGE_H
#define LOAD_TESTS_REPORT_PAGE_H

#define RECORDS_MAX 16

/* Arguments: FILE... [--output FILE].  The exit status: 0, 1 a file cannot be read or written, 2 usage. */
int report_page(int argc, char **argv);

#endif
