/* Versions of the database: what makes one of nothing, brings an older one up, and refuses the others. */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#include "core/log.h"
#include "core/store_internal.h"

#define APPLICATION_ID 0x696d7376 /* "imsv" */

/* steps[n] makes version n + 1 of version n; 0 is an empty file.  A step that was released never changes. */
static const char *const steps[] = {
#include "schema.sql.h" /* made of core/schema.sql */
	,
#include "schema_2.sql.h"
	,
#include "schema_3.sql.h"
	,
#include "schema_4.sql.h"
};
#define VERSION (sizeof(steps) / sizeof(steps[0]))

/* All in one transaction: a start that was interrupted begins where it began. */
static int climb(struct store *store, uint64_t version)
{
	char sql[128];
	int err = store_run_sql(store, "BEGIN IMMEDIATE");

	for (uint64_t v = version; v < VERSION && !err; v++)
		err = store_run_sql(store, steps[v]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT", APPLICATION_ID,
		VERSION);
	if (err || (err = store_run_sql(store, sql)))
		return err;
	LOG(INFO, NULL, "store", 0, "%s path=%s version=%zu", version ? "upgraded" : "made", store_name(store), VERSION);
	return 0;
}

int store_check_schema(struct store *store)
{
	uint64_t version = 0, tables = 0, application = 0;
	int err;

	if ((err = store_ask_number(store, "PRAGMA user_version", &version)) ||
	    (err = store_ask_number(store, "PRAGMA application_id", &application)) ||
	    (err = store_ask_number(store, "SELECT count(*) FROM sqlite_master", &tables)))
		return err;
	if (version == 0 && tables == 0)
		return climb(store, 0);
	if (application != APPLICATION_ID) {
		LOG(ERROR, NULL, "store", 0, "not-ours path=%s remedy=\"this database is not of imserv: give another "
			"store.path\"", store_name(store));
		return EINVAL;
	}
	if (version == 0 || version > VERSION) {
		LOG(ERROR, NULL, "store", 0, "version-unknown path=%s version=%llu known=%zu remedy=\"use the "
			"version of imserv that wrote it\"", store_name(store), (unsigned long long)version, VERSION);
		return EINVAL;
	}
	return version < VERSION ? climb(store, version) : 0;
}
