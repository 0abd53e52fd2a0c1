-- Step from version 1 to 2. A new database runs all steps, so a table stands in one place only.

-- Deferred messages. A mailbox exists while it has messages or uploads; its counts are kept with each change,
-- so that nobody counts rows. next_expiry: none of its messages expires before (seconds since 1970).
CREATE TABLE mailbox (
	name TEXT PRIMARY KEY,
	id INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	octets INTEGER NOT NULL,
	text INTEGER NOT NULL,
	text_urgent INTEGER NOT NULL,
	multimedia INTEGER NOT NULL,
	multimedia_urgent INTEGER NOT NULL,
	uploads INTEGER NOT NULL,
	upload_octets INTEGER NOT NULL,
	next_expiry INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX mailbox_by_expiry ON mailbox(next_expiry);

-- One row for each visible message, in the order of becoming visible, which is also the order on disk. Content
-- stands in the row (content NULL: in the table content, under content_id).
CREATE TABLE deferred (
	position INTEGER PRIMARY KEY,
	mailbox INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	received INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	size INTEGER NOT NULL,
	content_id INTEGER,
	id TEXT NOT NULL,
	call_id TEXT NOT NULL,
	summary TEXT NOT NULL,
	head TEXT NOT NULL,
	msrp TEXT NOT NULL,
	content BLOB
);

-- How the messages of a mailbox are found: all that belongs to one mailbox lies together, so a message more or
-- less changes one page and not one of each index. kind 0: key 0, by position; 1: key is a hash of the id;
-- 2: of the Call-ID; 3: key is the time of expiry.
CREATE TABLE deferred_key (
	mailbox INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	key INTEGER NOT NULL,
	position INTEGER NOT NULL,
	PRIMARY KEY (mailbox, kind, key, position)
) WITHOUT ROWID;

-- Messages that still arrive: invisible. The row moves to deferred when the last piece has come; those of a
-- process that ended are swept at the next start.
CREATE TABLE upload (
	id INTEGER PRIMARY KEY,
	mailbox TEXT NOT NULL,
	reserved INTEGER NOT NULL,
	received INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	message_id TEXT NOT NULL,
	call_id TEXT NOT NULL,
	summary TEXT NOT NULL,
	head TEXT NOT NULL
);

-- Pieces of at most 64 KiB; `at` is the offset of the first octet. garbage: content that nobody needs any more,
-- deleted a few pieces at a time.
CREATE TABLE content (
	id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	piece BLOB NOT NULL
);
CREATE UNIQUE INDEX content_by_offset ON content(id, at);
CREATE TABLE garbage (id INTEGER PRIMARY KEY);

-- One row: what is visible in all mailboxes, and the last number given of each kind, none of which comes again.
CREATE TABLE deferred_total (
	messages INTEGER NOT NULL,
	octets INTEGER NOT NULL,
	last_position INTEGER NOT NULL,
	last_mailbox INTEGER NOT NULL,
	last_content INTEGER NOT NULL
);
INSERT INTO deferred_total VALUES (0, 0, 0, 0, 0);

-- XML documents of users; owner is the canonical name. Each version is a row of its own, so that no etag
-- comes twice.
CREATE TABLE document (
	etag INTEGER PRIMARY KEY AUTOINCREMENT,
	auid TEXT NOT NULL,
	owner TEXT NOT NULL,
	name TEXT NOT NULL,
	content BLOB NOT NULL
);
CREATE UNIQUE INDEX document_by_name ON document(auid, owner, name);

-- Settings that a user published, one row for each entity-tag: which of the settings it has (bits), which of
-- them are on, and the order of the changes.
CREATE TABLE publication (
	id INTEGER PRIMARY KEY,
	user TEXT NOT NULL,
	etag TEXT NOT NULL,
	known INTEGER NOT NULL,
	settings INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX publication_of_user ON publication(user, etag);
CREATE INDEX publication_by_expiry ON publication(expires_at);
