/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One DEALER socket to the daemon, and the notice of when it connects and when the daemon goes. I/O thread.
 */
#pragma once

#include <msgpack/sbuffer.h>
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

struct peer {
	void *socket, *monitor; /* NULL: not open */
	msgpack_sbuffer buffer; /* of the message that is being written */
	uint64_t heard_ns, said_ns;
	bool connected;
};

bool peer_open(struct peer *peer, void *zmq_context, const char *endpoint, uint64_t now_ns);
/* `linger_ms`: how long the last messages may take to leave. */
void peer_close(struct peer *peer, int linger_ms);
/* Send what was encoded into peer->buffer, and empty it. False: the daemon no longer reads. Never waits. */
bool peer_send(struct peer *peer, uint64_t now_ns);
/* The next message, as a whole; the caller closes it. False: none is there. A message of several parts comes
 * as an empty one, which is garbage to whoever reads it. */
bool peer_receive(struct peer *peer, zmq_msg_t *message, uint64_t now_ns);
/* Read what the monitor says; false: the daemon hung up. */
bool peer_is_there(struct peer *peer);
