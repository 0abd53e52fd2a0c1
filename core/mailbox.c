/* Dmitry Vyukov's intrusive MPSC queue, with the idle flag of a sleeping consumer around it. */
#include "core/mailbox.h"

void mailbox_init(struct mailbox *mailbox)
{
	atomic_init(&mailbox->stub.next, NULL);
	atomic_init(&mailbox->tail, &mailbox->stub);
	mailbox->head = &mailbox->stub;
	atomic_init(&mailbox->idle, false);
}

static void push(struct mailbox *mailbox, struct msg *msg)
{
	atomic_store_explicit(&msg->next, NULL, memory_order_relaxed);
	struct msg *before = atomic_exchange_explicit(&mailbox->tail, msg, memory_order_seq_cst);
	/* between these two steps the list is cut: the consumer sees it as empty */
	atomic_store_explicit(&before->next, msg, memory_order_release);
}

bool mailbox_post(struct mailbox *mailbox, struct msg *msg)
{
	push(mailbox, msg);
	/* pairs with mailbox_sleep(): either we see idle, or the consumer sees our message */
	if (!atomic_load_explicit(&mailbox->idle, memory_order_seq_cst))
		return false;
	return atomic_exchange_explicit(&mailbox->idle, false, memory_order_seq_cst);
}

struct msg *mailbox_take(struct mailbox *mailbox)
{
	struct msg *head = mailbox->head;
	struct msg *next = atomic_load_explicit(&head->next, memory_order_acquire);

	if (head == &mailbox->stub) {
		if (!next)
			return NULL;
		mailbox->head = head = next;
		next = atomic_load_explicit(&head->next, memory_order_acquire);
	}
	if (next) {
		mailbox->head = next;
		return head;
	}
	if (head != atomic_load_explicit(&mailbox->tail, memory_order_acquire))
		return NULL;
	push(mailbox, &mailbox->stub); /* so that the last message has a successor */
	next = atomic_load_explicit(&head->next, memory_order_acquire);
	if (!next)
		return NULL;
	mailbox->head = next;
	return head;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
	atomic_store_explicit(&mailbox->idle, true, memory_order_seq_cst);
	struct msg *tail = atomic_load_explicit(&mailbox->tail, memory_order_seq_cst);
	if (mailbox->head == tail && tail == &mailbox->stub)
		return true;
	atomic_store_explicit(&mailbox->idle, false, memory_order_seq_cst);
	return false;
}

void mailbox_awake(struct mailbox *mailbox)
{
	atomic_store_explicit(&mailbox->idle, false, memory_order_relaxed);
}
