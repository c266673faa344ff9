/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "peer.h"

#include <stdio.h>
#include <string.h>

#include "protocol.h"

#define RECONNECT_MS 100

static bool open_monitor(struct peer *peer, void *zmq_context)
{
	char address[64];
	const int no_linger = 0;
	snprintf(address, sizeof(address), "inproc://limner-monitor-%p", peer->socket);
	if (zmq_socket_monitor(peer->socket, address, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED) != 0)
		return false;
	peer->monitor = zmq_socket(zmq_context, ZMQ_PAIR);
	if (!peer->monitor)
		return false;
	zmq_setsockopt(peer->monitor, ZMQ_LINGER, &no_linger, sizeof(no_linger));
	return zmq_connect(peer->monitor, address) == 0;
}

bool peer_open(struct peer *peer, void *zmq_context, const char *endpoint, uint64_t now_ns)
{
	const int reconnect_ms = RECONNECT_MS;
	const int64_t max_bytes = MAX_MESSAGE_BYTES;
	*peer = (struct peer){.heard_ns = now_ns, .said_ns = now_ns};
	msgpack_sbuffer_init(&peer->buffer);
	peer->socket = zmq_socket(zmq_context, ZMQ_DEALER);
	if (!peer->socket)
		goto fail;
	zmq_setsockopt(peer->socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof(reconnect_ms));
	zmq_setsockopt(peer->socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes));
	if (!open_monitor(peer, zmq_context) || zmq_connect(peer->socket, endpoint) != 0)
		goto fail;
	return true;
fail:
	peer_close(peer, 0);
	return false;
}

void peer_close(struct peer *peer, int linger_ms)
{
	if (peer->socket) {
		zmq_setsockopt(peer->socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
		zmq_socket_monitor(peer->socket, NULL, 0);
		zmq_close(peer->socket);
	}
	if (peer->monitor)
		zmq_close(peer->monitor);
	msgpack_sbuffer_destroy(&peer->buffer);
	*peer = (struct peer){0};
}

bool peer_send(struct peer *peer, uint64_t now_ns)
{
	const int sent = zmq_send(peer->socket, peer->buffer.data, peer->buffer.size, ZMQ_DONTWAIT);
	msgpack_sbuffer_clear(&peer->buffer);
	peer->said_ns = now_ns;
	return sent >= 0;
}

static bool drop_further_parts(struct peer *peer, zmq_msg_t *message)
{
	bool several = false;
	while (zmq_msg_more(message)) {
		several = true;
		zmq_msg_close(message);
		zmq_msg_init(message);
		if (zmq_msg_recv(message, peer->socket, ZMQ_DONTWAIT) < 0)
			break;
	}
	return several;
}

bool peer_receive(struct peer *peer, zmq_msg_t *message, uint64_t now_ns)
{
	zmq_msg_init(message);
	if (zmq_msg_recv(message, peer->socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(message);
		return false;
	}
	peer->heard_ns = now_ns;
	if (drop_further_parts(peer, message)) {
		zmq_msg_close(message);
		zmq_msg_init(message);
	}
	return true;
}

bool peer_is_there(struct peer *peer)
{
	zmq_msg_t event;
	bool there = true;
	for (;;) {
		zmq_msg_init(&event);
		if (zmq_msg_recv(&event, peer->monitor, ZMQ_DONTWAIT) < 0)
			break;
		/* An event is two parts: its number and a value, then the address. */
		if (zmq_msg_more(&event) && zmq_msg_size(&event) >= sizeof(uint16_t)) {
			uint16_t number;
			memcpy(&number, zmq_msg_data(&event), sizeof(number));
			peer->connected = number == ZMQ_EVENT_CONNECTED;
			there = there && number != ZMQ_EVENT_DISCONNECTED;
		}
		zmq_msg_close(&event);
	}
	zmq_msg_close(&event);
	return there;
}
