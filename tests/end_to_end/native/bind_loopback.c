/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For tests only, by LD_PRELOAD: a bind() to every interface becomes a bind() to the loopback, because
 * obs-websocket has no setting for it and a test must not open a port to the network.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*bind_function)(int, const struct sockaddr *, socklen_t);

static int bind_v6_loopback(bind_function real, int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in6 wanted;
	int only_v6 = 0;

	memcpy(&wanted, address, sizeof(wanted));
	if (memcmp(&wanted.sin6_addr, &in6addr_any, sizeof(in6addr_any)) != 0)
		return real(fd, address, length);

	/* ::ffff:127.0.0.1, so that clients of 127.0.0.1 reach a socket that asked for both families. */
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6));
	memset(&wanted.sin6_addr, 0, sizeof(wanted.sin6_addr));
	wanted.sin6_addr.s6_addr[10] = wanted.sin6_addr.s6_addr[11] = 0xff;
	wanted.sin6_addr.s6_addr[12] = 127;
	wanted.sin6_addr.s6_addr[15] = 1;
	return real(fd, (const struct sockaddr *)&wanted, sizeof(wanted));
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	bind_function real = (bind_function)dlsym(RTLD_NEXT, "bind");
	struct sockaddr_in wanted;

	if (address && address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
		return bind_v6_loopback(real, fd, address, length);
	if (!address || address->sa_family != AF_INET || length < sizeof(wanted))
		return real(fd, address, length);

	memcpy(&wanted, address, sizeof(wanted));
	if (wanted.sin_addr.s_addr == htonl(INADDR_ANY))
		wanted.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return real(fd, (const struct sockaddr *)&wanted, sizeof(wanted));
}
