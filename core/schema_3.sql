-- Step from version 2 to 3.

-- Content that several messages have, for it was sent to many: how many rows of deferred and upload name it. What only
-- one names has no row here.
CREATE TABLE content_share (
	id INTEGER PRIMARY KEY,
	holders INTEGER NOT NULL
);
