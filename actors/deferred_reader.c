#include "actors/deferred_reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/store_actor.h"

static void on_answer(struct worker *worker, struct store_request *request)
{
	struct store_content_get *get = (struct store_content_get *)request;
	struct deferred_reader *reader = request->asker;
	int err = request->msg.err;

	(void)worker;
	if (reader) {
		reader->asked = NULL;
		reader->on_piece(reader, err, get->offset, err ? SLICE_EMPTY : get->piece);
	}
	free(get);
}

static int ask(struct deferred_reader *reader, struct worker *worker, struct store_content_get *get)
{
	assert(!reader->asked);
	if (!get)
		return ENOMEM;
	get->request.on_answer = on_answer;
	get->request.asker = reader;
	reader->asked = get;
	(void)store_ask(worker, &get->request); /* reads are never refused */
	return 0;
}

int deferred_reader_ask(struct deferred_reader *reader, struct worker *worker, uint64_t position, uint64_t offset)
{
	return ask(reader, worker, store_content_get_new(position, offset));
}

int deferred_reader_ask_upload(struct deferred_reader *reader, struct worker *worker, uint64_t upload, uint64_t offset)
{
	struct store_content_get *get = store_content_get_new(0, offset);

	if (get)
		get->upload = upload;
	return ask(reader, worker, get);
}

void deferred_reader_stop(struct deferred_reader *reader)
{
	if (reader->asked)
		reader->asked->request.asker = NULL; /* which only we look at, wherever the request is now */
	reader->asked = NULL;
}
