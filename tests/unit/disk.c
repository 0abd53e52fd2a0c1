#include "tests/unit/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

/* sqlite's file, with ours before it. */
struct file {
	sqlite3_file base;
	enum disk_file which; /* DISK_FILES: neither is watched */
	sqlite3_file *real;
};

struct event {
	enum disk_event kind;
	enum disk_file file;
	unsigned note;
	uint64_t offset;
	size_t n;
	char *octets; /* NULL: the file ends at `offset` */
};

struct image {
	char *octets;
	size_t n, room;
};

static struct {
	pthread_mutex_t lock; /* the store's thread and its checkpointer's */
	sqlite3_vfs vfs, *real;
	/* ---- faults ---- */
	bool is_armed, has_failed;
	enum disk_file fail_file;
	enum disk_call fail_call;
	enum disk_error fail_error;
	unsigned fail_in;
	_Atomic unsigned slow_ms;
	_Atomic int memory_in; /* allocations until the one that fails; 0: none does */
	sqlite3_mem_methods memory;
	/* ---- what happened ---- */
	bool is_recording, forgets_syncs;
	struct event *events;
	size_t count, room;
	struct image first[DISK_FILES];
	/* ---- going through it: what is safe, and where the writes begin that are not ---- */
	size_t at, unsynced_from[DISK_FILES];
	bool is_syncing;
	struct image safe[DISK_FILES];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- images ---- */

static void image_write(struct image *i, uint64_t offset, const char *octets, size_t n)
{
	if (offset + n > i->room) {
		i->room = (offset + n) * 2;
		i->octets = realloc(i->octets, i->room);
		assert(i->octets);
	}
	if (offset > i->n)
		memset(i->octets + i->n, 0, offset - i->n);
	memcpy(i->octets + offset, octets, n);
	if (offset + n > i->n)
		i->n = offset + n;
}

static void image_apply(struct image *i, const struct event *e)
{
	if (e->octets)
		image_write(i, e->offset, e->octets, e->n);
	else if (e->offset < i->n)
		i->n = e->offset;
}

static void image_copy(struct image *to, const struct image *from)
{
	to->n = 0;
	if (from->n)
		image_write(to, 0, from->octets, from->n);
}

static void name_file(char *name, size_t n, const char *path, enum disk_file file)
{
	snprintf(name, n, "%s%s", path, file == DISK_LOG ? "-wal" : "");
}

static void image_load(struct image *i, const char *path, enum disk_file file)
{
	char name[4200], octets[65536];
	ssize_t n;

	i->n = 0;
	name_file(name, sizeof(name), path, file);
	int fd = open(name, O_RDONLY);
	while (fd >= 0 && (n = read(fd, octets, sizeof(octets))) > 0)
		image_write(i, i->n, octets, (size_t)n);
	if (fd >= 0)
		close(fd);
}

static void image_save(const struct image *i, const char *path, enum disk_file file)
{
	char name[4200];

	name_file(name, sizeof(name), path, file);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0);
	ssize_t n = i->n ? write(fd, i->octets, i->n) : 0;
	assert(n == (ssize_t)i->n);
	(void)n;
	close(fd);
}

/* ---- remembering ---- */

static void remember(struct event event, const void *octets)
{
	if (!disk.is_recording || event.file == DISK_FILES)
		return;
	if (disk.count == disk.room) {
		disk.room = disk.room ? 2 * disk.room : 256;
		disk.events = realloc(disk.events, disk.room * sizeof(*disk.events));
		assert(disk.events);
	}
	if (octets && event.n) {
		event.octets = malloc(event.n);
		assert(event.octets);
		memcpy(event.octets, octets, event.n);
	}
	disk.events[disk.count++] = event;
}

static void forget_all(void)
{
	for (size_t i = 0; i < disk.count; i++)
		free(disk.events[i].octets);
	free(disk.events);
	disk.events = NULL;
	disk.count = disk.room = 0;
	for (int f = 0; f < DISK_FILES; f++) {
		free(disk.first[f].octets);
		free(disk.safe[f].octets);
		disk.first[f] = disk.safe[f] = (struct image){ 0 };
	}
}

void disk_record(const char *path)
{
	forget_all();
	for (int f = 0; f < DISK_FILES; f++)
		image_load(&disk.first[f], path, (enum disk_file)f);
	disk.is_recording = true;
}

void disk_stop_recording(void)
{
	pthread_mutex_lock(&disk.lock);
	disk.is_recording = false;
	pthread_mutex_unlock(&disk.lock);
}

void disk_forget_syncs(bool yes)
{
	disk.forgets_syncs = yes;
}

void disk_note(unsigned note)
{
	pthread_mutex_lock(&disk.lock);
	remember((struct event){ .kind = DISK_NOTED, .note = note }, NULL);
	pthread_mutex_unlock(&disk.lock);
}

/* ---- power cuts ---- */

void disk_rewind(void)
{
	disk.at = 0;
	disk.is_syncing = false;
	for (int f = 0; f < DISK_FILES; f++) {
		image_copy(&disk.safe[f], &disk.first[f]);
		disk.unsynced_from[f] = 0;
	}
}

/* Everything of the file before `end` is safe now. */
static void make_safe(enum disk_file file, size_t end)
{
	for (size_t i = disk.unsynced_from[file]; i < end; i++) {
		const struct event *e = &disk.events[i];
		if (e->kind == DISK_WRITTEN && e->file == file)
			image_apply(&disk.safe[file], e);
	}
	disk.unsynced_from[file] = end;
}

bool disk_step(enum disk_event *event, unsigned *note)
{
	if (disk.at == disk.count)
		return false;
	const struct event *e = &disk.events[disk.at];
	*note = e->note;
	if (e->kind == DISK_SYNCED && !disk.is_syncing) {
		disk.is_syncing = true;
		*event = DISK_SYNCING;
		return true;
	}
	disk.is_syncing = false;
	disk.at++;
	if (e->kind == DISK_SYNCED)
		make_safe(e->file, disk.at);
	*event = e->kind;
	return true;
}

unsigned disk_syncs(enum disk_file file)
{
	unsigned n = 0;

	for (size_t i = 0; i < disk.count; i++)
		n += disk.events[i].kind == DISK_SYNCED && disk.events[i].file == file;
	return n;
}

static unsigned below(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33) % n;
}

static void write_some(struct image *image, const struct event *e, enum disk_unsynced unsynced, uint64_t *seed)
{
	unsigned fate = unsynced == DISK_LOST ? 0 : unsynced == DISK_KEPT ? 1 : below(seed, 3);

	if (fate == 1)
		image_apply(image, e);
	for (size_t at = 0; fate == 2 && at < e->n; at += SECTOR)
		if (below(seed, 2))
			image_write(image, e->offset + at, e->octets + at, e->n - at < SECTOR ? e->n - at : SECTOR);
}

void disk_make_files(const char *path, enum disk_unsynced unsynced, uint64_t seed)
{
	for (int f = 0; f < DISK_FILES; f++) {
		struct image image = { 0 };
		image_copy(&image, &disk.safe[f]);
		for (size_t i = disk.unsynced_from[f]; i < disk.at; i++)
			if (disk.events[i].kind == DISK_WRITTEN && disk.events[i].file == (enum disk_file)f)
				write_some(&image, &disk.events[i], unsynced, &seed);
		image_save(&image, path, (enum disk_file)f);
		free(image.octets);
	}
}

/* ---- faults ---- */

void disk_fail(enum disk_file file, enum disk_call call, enum disk_error error, unsigned nth)
{
	pthread_mutex_lock(&disk.lock);
	disk.is_armed = true;
	disk.has_failed = false;
	disk.fail_file = file;
	disk.fail_call = call;
	disk.fail_error = error;
	disk.fail_in = nth;
	pthread_mutex_unlock(&disk.lock);
}

bool disk_has_failed(void)
{
	return disk.has_failed;
}

void disk_heal(void)
{
	pthread_mutex_lock(&disk.lock);
	disk.is_armed = false;
	disk.memory_in = 0;
	pthread_mutex_unlock(&disk.lock);
}

void disk_forget_pages(struct sqlite3 *db)
{
	sqlite3_db_release_memory(db);
}

void disk_explain(struct sqlite3 *db, struct sqlite3_stmt *statement, char *to, size_t n)
{
	char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(statement));
	struct sqlite3_stmt *plan;
	size_t used = 0;

	int code = sqlite3_prepare_v2(db, sql, -1, &plan, NULL);
	assert(!code);
	(void)code;
	to[0] = '\0';
	while (sqlite3_step(plan) == SQLITE_ROW && used < n)
		used += (size_t)snprintf(to + used, n - used, "%s; ", (const char *)sqlite3_column_text(plan, 3));
	sqlite3_finalize(plan);
	sqlite3_free(sql);
}

void disk_run_sql(const char *path, const char *sql)
{
	sqlite3 *db;
	int code = sqlite3_open(path, &db);

	if (!code)
		code = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (code)
		fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
	assert(!code);
	sqlite3_close(db);
}

void disk_fail_memory(unsigned nth)
{
	disk.has_failed = false;
	disk.memory_in = (int)nth;
}

static bool has_memory(void)
{
	if (disk.memory_in == 0 || --disk.memory_in > 0)
		return true;
	disk.has_failed = true;
	return false;
}

static void *on_malloc(int n)
{
	return has_memory() ? disk.memory.xMalloc(n) : NULL;
}

static void *on_realloc(void *p, int n)
{
	return has_memory() ? disk.memory.xRealloc(p, n) : NULL;
}

void disk_slow_reads(unsigned ms)
{
	disk.slow_ms = ms;
}

/* 0, or what sqlite is told instead. */
static int fault(const struct file *f, enum disk_call call)
{
	static const int codes[] = { SQLITE_IOERR_READ, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC };

	if (!disk.is_armed || f->which != disk.fail_file || call != disk.fail_call)
		return SQLITE_OK;
	if (!disk.has_failed && --disk.fail_in > 0)
		return SQLITE_OK;
	disk.has_failed = true;
	return disk.fail_error == DISK_FULL ? SQLITE_FULL : codes[call];
}

/* ---- the VFS ---- */

#define REAL(f) (((struct file *)(f))->real)

static int on_close(sqlite3_file *f)
{
	return REAL(f)->pMethods->xClose(REAL(f));
}

static int on_read(sqlite3_file *f, void *to, int n, sqlite3_int64 offset)
{
	pthread_mutex_lock(&disk.lock);
	int code = fault((struct file *)f, DISK_READ);
	pthread_mutex_unlock(&disk.lock);
	if (disk.slow_ms)
		usleep(disk.slow_ms * 1000);
	return code ? code : REAL(f)->pMethods->xRead(REAL(f), to, n, offset);
}

static int on_write(sqlite3_file *f, const void *octets, int n, sqlite3_int64 offset)
{
	pthread_mutex_lock(&disk.lock);
	int code = fault((struct file *)f, DISK_WRITE);
	if (!code && !(code = REAL(f)->pMethods->xWrite(REAL(f), octets, n, offset)))
		remember((struct event){ .kind = DISK_WRITTEN, .file = ((struct file *)f)->which, .offset = (uint64_t)offset,
			.n = (size_t)n }, octets);
	pthread_mutex_unlock(&disk.lock);
	return code;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	pthread_mutex_lock(&disk.lock);
	int code = REAL(f)->pMethods->xTruncate(REAL(f), size);
	if (!code)
		remember((struct event){ .kind = DISK_WRITTEN, .file = ((struct file *)f)->which, .offset = (uint64_t)size }, NULL);
	pthread_mutex_unlock(&disk.lock);
	return code;
}

static int on_sync(sqlite3_file *f, int flags)
{
	pthread_mutex_lock(&disk.lock);
	int code = fault((struct file *)f, DISK_SYNC); /* the real one would only take time */
	if (!code && !disk.forgets_syncs)
		remember((struct event){ .kind = DISK_SYNCED, .file = ((struct file *)f)->which }, NULL);
	pthread_mutex_unlock(&disk.lock);
	return code;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), size);
}

static int on_lock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int on_unlock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int on_check_lock(sqlite3_file *f, int *is_locked)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), is_locked);
}

static int on_control(sqlite3_file *f, int what, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), what, arg);
}

static int on_sector_size(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int on_characteristics(sqlite3_file *f)
{
	return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **to)
{
	return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, to);
}

static int on_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return REAL(f)->pMethods->xShmLock(REAL(f), offset, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int on_shm_unmap(sqlite3_file *f, int and_delete)
{
	return REAL(f)->pMethods->xShmUnmap(REAL(f), and_delete);
}

static const sqlite3_io_methods methods = { 2, on_close, on_read, on_write, on_truncate, on_sync, on_size, on_lock,
	on_unlock, on_check_lock, on_control, on_sector_size, on_characteristics, on_shm_map, on_shm_lock,
	on_shm_barrier, on_shm_unmap };

static int on_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out_flags)
{
	struct file *file = (struct file *)f;

	file->real = (sqlite3_file *)(file + 1);
	file->which = flags & SQLITE_OPEN_MAIN_DB ? DISK_DATABASE : flags & SQLITE_OPEN_WAL ? DISK_LOG : DISK_FILES;
	file->base.pMethods = NULL;
	int code = disk.real->xOpen(disk.real, name, file->real, flags, out_flags);
	if (file->real->pMethods)
		file->base.pMethods = &methods;
	return code;
}

void disk_install(void)
{
	sqlite3_mem_methods methods_of_memory;

	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &disk.memory);
	methods_of_memory = disk.memory;
	methods_of_memory.xMalloc = on_malloc;
	methods_of_memory.xRealloc = on_realloc;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods_of_memory);
	disk.real = sqlite3_vfs_find(NULL);
	assert(disk.real);
	disk.vfs = *disk.real;
	disk.vfs.zName = "disk";
	disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
	disk.vfs.xOpen = on_open; /* the others do not look at what this one made */
	sqlite3_vfs_register(&disk.vfs, 1);
}
