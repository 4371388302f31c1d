/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One conversation on a stream socket: requests are received, run and answered in turn, as fs/control/control.h says. Whose
 * socket it is, and how many there may be, is fs/control/control.c's.
 */
#ifndef FS_CONTROL_PROTOCOL_H
#define FS_CONTROL_PROTOCOL_H

#include "fs/fs.h"

#define CONVERSATION_REQUEST_MAX 65536 /* bytes of a request, its newline included */
#define CONVERSATION_PROGRESS_MS 100   /* between two lines about progress */
#define CONVERSATION_SECONDS     10    /* for a request to come, and for a line of the reply to be taken */

struct conversation {
	struct weightfs *fs;
	uint64_t accepted;         /* caller_now() when it began: fs/origins/caller.h */
	int fd;                    /* borrowed; receiving and sending time out after CONVERSATION_SECONDS */
	bool broken;               /* a line was not taken, or not as a whole: there are no more */
	int64_t next_progress_ms;  /* lines about progress that come earlier are left out */
	size_t used, taken;        /* bytes in buffer; of these, those of the line that was returned last */
	char buffer[CONVERSATION_REQUEST_MAX];
};

/*
 * The next request: LEN bytes without the newline, valid until the next call; and the last descriptor that came by
 * its end, or -1, the caller's to close. 0; -ENODATA at the end of the stream; -EMSGSIZE: it is too long;
 * -ETIMEDOUT, -EAGAIN: it did not come whole in time; -EPIPE: an answer was not taken; else -errno of recvmsg(2).
 */
int must_check conversation_receive(struct conversation *conversation, const char **line,
				    size_t *len, int *passed);

/* Run it, as the peer of the socket, and answer. Who does not take the answer is not waited for. */
void conversation_serve(struct conversation *conversation, const char *line, size_t len,
			int passed);

#endif
