-- Version 1 of the database (user_version), released: what came later stands in schema_2.sql. Times are
-- seconds since 1970. Content of HA1 columns: RFC 7616 3.4.2, of the name without and with its domain,
-- 2 x 16 and 2 x 32 octets, NULL for a user without password.
CREATE TABLE user (
	name TEXT PRIMARY KEY,
	ha1_md5 BLOB,
	ha1_sha256 BLOB
) WITHOUT ROWID;

-- One row for each binding of an address of record; what a core reported by third-party REGISTER has an
-- empty contact.
CREATE TABLE registration (
	id INTEGER PRIMARY KEY,
	aor TEXT NOT NULL,
	contact TEXT NOT NULL,
	params TEXT NOT NULL,
	path TEXT NOT NULL,
	instance TEXT NOT NULL,
	reg_id INTEGER NOT NULL,
	call_id TEXT NOT NULL,
	cseq INTEGER NOT NULL,
	q INTEGER NOT NULL,
	listener TEXT NOT NULL,
	peer TEXT NOT NULL,
	updated INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
);
CREATE INDEX registration_of_aor ON registration(aor);
CREATE INDEX registration_by_expiry ON registration(expires_at);
