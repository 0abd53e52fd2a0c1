-- Step from version 3 to 4. A new database runs all steps, so a table stands in one place only.

-- URIs that documents define, as those of groups: no two documents of a usage may define the same.
CREATE TABLE document_uri (
	auid TEXT NOT NULL,
	uri TEXT NOT NULL,
	owner TEXT NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (auid, uri)
) WITHOUT ROWID;
CREATE INDEX document_uri_of_document ON document_uri(auid, owner, name);
