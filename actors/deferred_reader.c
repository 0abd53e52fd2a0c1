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

int deferred_reader_ask(struct deferred_reader *reader, struct worker *worker, uint64_t position, uint64_t offset)
{
	struct store_content_get *get = store_content_get_new(position, offset);

	assert(!reader->asked);
	if (!get)
		return ENOMEM;
	get->request.on_answer = on_answer;
	get->request.asker = reader;
	reader->asked = get;
	(void)store_ask(worker, &get->request); /* reads are never refused */
	return 0;
}

void deferred_reader_stop(struct deferred_reader *reader)
{
	if (reader->asked)
		reader->asked->request.asker = NULL; /* which only we look at, wherever the request is now */
	reader->asked = NULL;
}
