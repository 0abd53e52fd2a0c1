/*
 * Certificates and keys for tests, good until 2126.  Nothing is kept safe by them: the keys are public.
 * `main` (main.example.com, 127.0.0.1) and `other` (other.example.com, *.wild.example.com,
 * sip:uri.example.com) are signed by `ca`; `stranger` (main.example.com) has signed itself.
 */
#ifndef TESTS_UNIT_TLS_PEM_H
#define TESTS_UNIT_TLS_PEM_H

#include <stdio.h>
#include <unistd.h>

#include "tests/unit/test.h"

static const struct { const char *name, *text; } tls_pems[] = {
	{ "ca.pem",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBiTCCAS+gAwIBAgIUbCsIACK/HsP5i4nr5jimKjA+0yIwCgYIKoZIzj0EAwIw\n"
	  "GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMDcyOTEwWhgPMjEy\n"
	  "NjEwMjgwNzI5MTBaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI\n"
	  "zj0CAQYIKoZIzj0DAQcDQgAE3oddMk+H2sXYBYXw3SwbjlfNDYdGUM7ljhfK9Wsk\n"
	  "AlobvFSEDgONPQXoeN5TMhS194NGPt8ENmCxh3VPvxhJjaNTMFEwHQYDVR0OBBYE\n"
	  "FKz8bWtluPlgvkpj1UdfesPSlwr+MB8GA1UdIwQYMBaAFKz8bWtluPlgvkpj1Udf\n"
	  "esPSlwr+MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgHbxLkM5f\n"
	  "FZAoUDe2Stk0E5uZkCtk2fbohUzJ4Qxh8V8CIQDSoRAnDCS7PXCe+RRVUelaPMOp\n"
	  "29j93tN2jt0boHQDjA==\n"
	  "-----END CERTIFICATE-----\n" },
	{ "main.pem",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBnTCCAUKgAwIBAgIUQ8Ex3pXnpBflrotj+3/B43E0+kswCgYIKoZIzj0EAwIw\n"
	  "GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMDcyOTEwWhgPMjEy\n"
	  "NjEwMjgwNzI5MTBaMA8xDTALBgNVBAMMBG1haW4wWTATBgcqhkjOPQIBBggqhkjO\n"
	  "PQMBBwNCAARnE+amQANNvKwwWTIOsmi6YxB+nwK0XQNXXk8oAwrYCYMChEs2Qgnq\n"
	  "2gTYB0TErTOMBX8Vbe0qCSHguCwSOZJLo3AwbjAdBgNVHQ4EFgQUhxcliscAMXZu\n"
	  "0pdAEZr1Pt/epSMwHwYDVR0jBBgwFoAUrPxta2W4+WC+SmPVR196w9KXCv4wIQYD\n"
	  "VR0RBBowGIIQbWFpbi5leGFtcGxlLmNvbYcEfwAAATAJBgNVHRMEAjAAMAoGCCqG\n"
	  "SM49BAMCA0kAMEYCIQCJzy2XvVK5FDd9aJ1JejpTHc1iXy6vfX/Xb4lF1GjC2QIh\n"
	  "AP9bI1lyluutRX+1nHiBLJC6K5QESnKzDowfbQUPlXDg\n"
	  "-----END CERTIFICATE-----\n" },
	{ "main.key",
	  "-----BEGIN PRIVATE KEY-----\n"
	  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdY5BmrZ2LcLYbstK\n"
	  "yn6s2IgUW9KmnLsT0c0h1x104bqhRANCAARnE+amQANNvKwwWTIOsmi6YxB+nwK0\n"
	  "XQNXXk8oAwrYCYMChEs2Qgnq2gTYB0TErTOMBX8Vbe0qCSHguCwSOZJL\n"
	  "-----END PRIVATE KEY-----\n" },
	{ "locked.key", /* with a passphrase */
	  "-----BEGIN EC PRIVATE KEY-----\n"
	  "Proc-Type: 4,ENCRYPTED\n"
	  "DEK-Info: AES-128-CBC,2DB696453CAE6B418E1AA9F497949793\n"
	  "\n"
	  "MKMrSsej3LRmosvv1bSdT2fsaspfJ/bbzy91GZnthlR+U7hl5slYBU4xqZgPqeHA\n"
	  "Oo9op0vVftnNd/ochKEHypK6CnHtI0AocMA9OaPL3anDOhU2uMNnhgfzgrJXJsRT\n"
	  "kJdEC+ZfXFISdl2WzhJiAkBATTnpf63UUjHTFbnCz+k=\n"
	  "-----END EC PRIVATE KEY-----\n" },
	{ "other.pem",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBwjCCAWmgAwIBAgIUI9j+jAbB28yLMYafO7oQ3L/KE2cwCgYIKoZIzj0EAwIw\n"
	  "GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMDcyOTEwWhgPMjEy\n"
	  "NjEwMjgwNzI5MTBaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZI\n"
	  "zj0DAQcDQgAEXNWHAyXWvDRrSVED6fKUCGykWGQjJ6DV8lXJkH1gYle9jcA1RkCw\n"
	  "IaABEK68N+kU0gh3W/3r/8t8fI8OkDFwVKOBlTCBkjAdBgNVHQ4EFgQUkKxtXZVz\n"
	  "45dRVfYryOIRpXTmcqgwHwYDVR0jBBgwFoAUrPxta2W4+WC+SmPVR196w9KXCv4w\n"
	  "RQYDVR0RBD4wPIIRb3RoZXIuZXhhbXBsZS5jb22CEioud2lsZC5leGFtcGxlLmNv\n"
	  "bYYTc2lwOnVyaS5leGFtcGxlLmNvbTAJBgNVHRMEAjAAMAoGCCqGSM49BAMCA0cA\n"
	  "MEQCIBNt+sinsyy53oNPrGHiAtFC8yjd+ECxBOJjcc554PHmAiAbBd0Kgmnlm4UY\n"
	  "7P/nnLmg1KPP36A2nZKicooieFKwvA==\n"
	  "-----END CERTIFICATE-----\n" },
	{ "other.key",
	  "-----BEGIN PRIVATE KEY-----\n"
	  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjAf8gvRq8lKnenyR\n"
	  "39QFvruXNXMUYbG6RS2C4UMq8ZahRANCAARc1YcDJda8NGtJUQPp8pQIbKRYZCMn\n"
	  "oNXyVcmQfWBiV72NwDVGQLAhoAEQrrw36RTSCHdb/ev/y3x8jw6QMXBU\n"
	  "-----END PRIVATE KEY-----\n" },
	{ "stranger.pem",
	  "-----BEGIN CERTIFICATE-----\n"
	  "MIIBmzCCAUCgAwIBAgIUOH+GURAfOYPmg7wHU7Rq+ftRx1UwCgYIKoZIzj0EAwIw\n"
	  "EzERMA8GA1UEAwwIc3RyYW5nZXIwIBcNMjYxMTIxMDcyOTEwWhgPMjEyNjEwMjgw\n"
	  "NzI5MTBaMBMxETAPBgNVBAMMCHN0cmFuZ2VyMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
	  "AQcDQgAEx79MM5QY3G6FCLTB7fMOBhQ1V4ZAyDYyVWmHzialQp+e+912lzo5Od+X\n"
	  "xXNSAsNx3iMJr9c7JqJeb9oTmIDntKNwMG4wHQYDVR0OBBYEFN0EarxQciWDbFjv\n"
	  "ya4VxU9kwCM9MB8GA1UdIwQYMBaAFN0EarxQciWDbFjvya4VxU9kwCM9MA8GA1Ud\n"
	  "EwEB/wQFMAMBAf8wGwYDVR0RBBQwEoIQbWFpbi5leGFtcGxlLmNvbTAKBggqhkjO\n"
	  "PQQDAgNJADBGAiEAn3dzYSY2ZIovAFp8iCSsUaUTwgUQzdzfYC+FfDluKlMCIQDT\n"
	  "nwZv+yWvDL2jU4lIXDOGuOabLAqawOrtN19Nkox1Uw==\n"
	  "-----END CERTIFICATE-----\n" },
	{ "stranger.key",
	  "-----BEGIN PRIVATE KEY-----\n"
	  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgl4IV7dD3dyHWnD3R\n"
	  "X91uLrWZCK1+4V+9BdCqJpwM1PGhRANCAATHv0wzlBjcboUItMHt8w4GFDVXhkDI\n"
	  "NjJVaYfOJqVCn5773XaXOjk535fFc1ICw3HeIwmv1zsmol5v2hOYgOe0\n"
	  "-----END PRIVATE KEY-----\n" },
};

/* Into the working directory. */
static inline void tls_pems_write(void)
{
	for (size_t i = 0; i < sizeof(tls_pems) / sizeof(tls_pems[0]); i++) {
		FILE *out = fopen(tls_pems[i].name, "we");
		assert_non_null(out);
		assert_true(fputs(tls_pems[i].text, out) >= 0);
		assert_int_equal(fclose(out), 0);
	}
}

static inline void tls_pems_remove(void)
{
	for (size_t i = 0; i < sizeof(tls_pems) / sizeof(tls_pems[0]); i++)
		unlink(tls_pems[i].name);
}

#endif
