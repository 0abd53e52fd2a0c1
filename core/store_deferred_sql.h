/* The statements of deferred messages; part of STORE_STATEMENTS.  Private to core/store*.c. */
#ifndef CORE_STORE_DEFERRED_SQL_H
#define CORE_STORE_DEFERRED_SQL_H

#define STORE_MESSAGE_COLUMNS \
	"d.position, d.flags, d.received, d.expires_at, d.size, d.id, d.summary, d.call_id, d.head, d.msrp, d.content "
/* CROSS JOIN: sqlite keeps the order, first the keys of the mailbox, then the rows that they name. */
#define STORE_MESSAGES_BY_KEY "FROM deferred_key k CROSS JOIN deferred d ON d.position = k.position "

#define STORE_DEFERRED_STATEMENTS(X)                                                                     \
	X(TOTAL_GET, "SELECT messages, octets, last_position, last_mailbox, last_content FROM deferred_total") \
	X(TOTAL_PUT, "UPDATE deferred_total SET messages = ?1, octets = ?2, last_position = ?3, "        \
		"last_mailbox = ?4, last_content = ?5")                                                  \
	X(MAILBOX_GET, "SELECT id, next_expiry, messages, octets, text, text_urgent, multimedia, "       \
		"multimedia_urgent, uploads, upload_octets FROM mailbox WHERE name = ?1")                \
	X(MAILBOX_ADD, "INSERT INTO mailbox (name, messages, octets, text, text_urgent, multimedia, "    \
		"multimedia_urgent, uploads, upload_octets, id, next_expiry) "                           \
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                                 \
	X(MAILBOX_COUNTS, "UPDATE mailbox SET messages = ?2, octets = ?3, text = ?4, text_urgent = ?5, " \
		"multimedia = ?6, multimedia_urgent = ?7, uploads = ?8, upload_octets = ?9 WHERE name = ?1") \
	X(MAILBOX_EXPIRY, "UPDATE mailbox SET next_expiry = ?2 WHERE name = ?1")                         \
	X(MAILBOX_DELETE, "DELETE FROM mailbox WHERE name = ?1")                                         \
	X(MAILBOX_EXPIRED, "SELECT name FROM mailbox WHERE next_expiry <= ?1 ORDER BY next_expiry LIMIT ?2") \
	X(KEYS_PUT, "INSERT INTO deferred_key (mailbox, kind, key, position) "                           \
		"VALUES (?1, 0, 0, ?2), (?1, 1, ?3, ?2), (?1, 2, ?4, ?2), (?1, 3, ?5, ?2)")              \
	X(KEYS_DELETE, "DELETE FROM deferred_key WHERE mailbox = ?1")                                    \
	X(KEY_DELETE, "DELETE FROM deferred_key WHERE mailbox = ?1 AND kind = ?2 AND key = ?3 "          \
		"AND position = ?4")                                                                     \
	X(KEY_EXPIRED, "SELECT position FROM deferred_key WHERE mailbox = ?1 AND kind = 3 "              \
		"AND key <= ?2 ORDER BY key LIMIT ?3")                                                   \
	X(KEY_NEXT_EXPIRY, "SELECT key FROM deferred_key WHERE mailbox = ?1 AND kind = 3 ORDER BY key LIMIT 1") \
	X(MESSAGE_PUT, "INSERT INTO deferred (position, mailbox, flags, received, expires_at, size, "    \
		"content_id, id, call_id, summary, head, msrp, content) "                                \
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")                       \
	X(MESSAGE_GONE, "SELECT flags, expires_at, size, content_id, id, call_id FROM deferred "         \
		"WHERE position = ?1 AND mailbox = ?2")                                                  \
	X(MESSAGE_DELETE, "DELETE FROM deferred WHERE position = ?1")                                    \
	X(MESSAGE_NEXT, "SELECT " STORE_MESSAGE_COLUMNS STORE_MESSAGES_BY_KEY                            \
		"WHERE k.mailbox = ?1 AND k.kind = 0 AND k.key = 0 AND k.position > ?2 "                 \
		"AND d.expires_at > ?3 ORDER BY k.position LIMIT ?4")                                    \
	X(MESSAGE_FIND, "SELECT " STORE_MESSAGE_COLUMNS STORE_MESSAGES_BY_KEY                            \
		"WHERE k.mailbox = ?1 AND k.kind = ?2 AND k.key = ?3 AND d.expires_at > ?4 LIMIT ?5")    \
	X(MESSAGE_ROWS, "SELECT d.position, d.flags, d.received, d.expires_at, d.size, d.id, d.summary " \
		STORE_MESSAGES_BY_KEY "WHERE k.mailbox = ?1 AND k.kind = 0 AND k.key = 0 "               \
		"AND k.position > ?2 AND d.expires_at > ?3 ORDER BY k.position LIMIT ?4")                \
	X(MESSAGE_CONTENT, "SELECT content_id, content FROM deferred WHERE position = ?1")               \
	X(CONTENT_ADD, "INSERT INTO content (id, at, piece) VALUES (?1, ?2, ?3)")                        \
	X(CONTENT_AT, "SELECT at, piece FROM content WHERE id = ?1 AND at <= ?2 ORDER BY at DESC LIMIT 1") \
	X(UPLOAD_ADD, "INSERT INTO upload (id, mailbox, reserved, received, flags, message_id, call_id, " \
		"summary, head) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8)")                             \
	X(UPLOAD_GET, "SELECT mailbox, reserved, received, flags, message_id, call_id, summary, head "   \
		"FROM upload WHERE id = ?1")                                                             \
	X(UPLOAD_RECEIVED, "UPDATE upload SET received = ?2 WHERE id = ?1")                              \
	X(UPLOAD_DELETE, "DELETE FROM upload WHERE id = ?1")                                             \
	X(SHARE_ADD, "INSERT INTO content_share (id, holders) VALUES (?1, 2) "                           \
		"ON CONFLICT (id) DO UPDATE SET holders = holders + 1")                                  \
	X(SHARE_LESS, "UPDATE content_share SET holders = holders - 1 WHERE id = ?1")                    \
	X(SHARE_DELETE, "DELETE FROM content_share WHERE id = ?1 AND holders <= 0")                      \
	X(GARBAGE_ADD, "INSERT INTO garbage (id) VALUES (?1)")                                           \
	X(GARBAGE_GET, "SELECT id FROM garbage LIMIT 1")                                                 \
	X(GARBAGE_COLLECT, "DELETE FROM content WHERE rowid IN "                                         \
		"(SELECT rowid FROM content WHERE id = ?1 LIMIT ?2)")                                    \
	X(GARBAGE_DELETE, "DELETE FROM garbage WHERE id = ?1")

#endif
