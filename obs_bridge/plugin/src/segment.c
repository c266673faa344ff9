/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x524e4d4cu /* "LMNR" */
#define ABI 1
#define FORMAT_RGBA8 1
#define BYTES_PER_PIXEL 4
#define FIRST_SLOT_OFFSET 4096
#define SLOT_HEADER_BYTES 64
#define PAGE_BYTES 4096
#define MAX_SEGMENT_SLOTS 256
#define MAX_SEGMENT_SIDE 8192

enum { H_MAGIC, H_ABI, H_GENERATION, H_COUNT, H_STRIDE, H_FORMAT, H_WIDTH, H_HEIGHT, H_DIRECTION, H_WORDS };

#define NAME_START "limner-"

static bool fail(struct segment_error *error, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool fail(struct segment_error *error, const char *name, const char *format, ...)
{
	char what[200];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(error->text, sizeof(error->text), "segment %.100s: %s", name, what);
	return false;
}

static bool name_is_ours(const char *name)
{
	return strncmp(name, NAME_START, strlen(NAME_START)) == 0 && !strchr(name, '/') &&
	       strlen(name) + 2 <= SEGMENT_NAME_BYTES;
}

static uint64_t stride_for(uint64_t width, uint64_t height)
{
	const uint64_t bytes = SLOT_HEADER_BYTES + width * height * BYTES_PER_PIXEL;
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static uint32_t word_at(const uint8_t *header, int index)
{
	const uint8_t *at = header + index * 4;
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Is the header sound by itself, and does the segment's real size bear it out? */
static bool header_is_sound(
	const uint32_t *h, uint64_t real_size, const char *name, struct segment_error *error)
{
	if (h[H_MAGIC] != MAGIC)
		return fail(error, name, "magic %#x is not Limner's", h[H_MAGIC]);
	if (h[H_ABI] != ABI)
		return fail(error, name, "ABI %u, this is ABI %d; update the older of filter and daemon",
			h[H_ABI], ABI);
	if (h[H_FORMAT] != FORMAT_RGBA8)
		return fail(error, name, "unknown pixel format %u", h[H_FORMAT]);
	if (h[H_WIDTH] < 1 || h[H_WIDTH] > MAX_SEGMENT_SIDE || h[H_HEIGHT] < 1 ||
		h[H_HEIGHT] > MAX_SEGMENT_SIDE)
		return fail(error, name, "size %u×%u is out of range", h[H_WIDTH], h[H_HEIGHT]);
	if (h[H_COUNT] < 1 || h[H_COUNT] > MAX_SEGMENT_SLOTS || h[H_GENERATION] == 0)
		return fail(error, name, "%u slots, generation %u", h[H_COUNT], h[H_GENERATION]);
	const uint64_t stride = stride_for(h[H_WIDTH], h[H_HEIGHT]);
	if (h[H_STRIDE] != stride || FIRST_SLOT_OFFSET + h[H_COUNT] * stride != real_size)
		return fail(error, name, "header promises %u slots of %u bytes, the segment has %llu bytes",
			h[H_COUNT], h[H_STRIDE], (unsigned long long)real_size);
	return true;
}

/* Does the header say what the daemon's message said? */
static bool header_keeps_promise(
	const uint32_t *h, uint64_t real_size, const struct segment_promise *p, struct segment_error *error)
{
	if (h[H_DIRECTION] != (uint32_t)p->direction)
		return fail(error, p->name, "direction %u, expected %d", h[H_DIRECTION], p->direction);
	if (h[H_GENERATION] != p->generation || h[H_COUNT] != p->slots || h[H_WIDTH] != p->width ||
		h[H_HEIGHT] != p->height || real_size != p->size_bytes)
		return fail(error, p->name,
			"the daemon spoke of %u slots of %u×%u, generation %u; its header says %u of %u×%u, "
			"%u",
			p->slots, p->width, p->height, p->generation, h[H_COUNT], h[H_WIDTH], h[H_HEIGHT],
			h[H_GENERATION]);
	return true;
}

static bool map_checked(
	struct segment *segment, int fd, const struct segment_promise *p, struct segment_error *error)
{
	uint8_t header[H_WORDS * 4] = {0};
	uint32_t words[H_WORDS];
	struct stat info;
	if (fstat(fd, &info) != 0)
		return fail(error, p->name, "%s", strerror(errno));
	const uint64_t real_size = (uint64_t)info.st_size;
	if (real_size < FIRST_SLOT_OFFSET || pread(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return fail(error, p->name, "%llu bytes cannot hold a header", (unsigned long long)real_size);
	for (int i = 0; i < H_WORDS; i++)
		words[i] = word_at(header, i);
	if (!header_is_sound(words, real_size, p->name, error) ||
		!header_keeps_promise(words, real_size, p, error))
		return false;
	/* Populated now, so that the graphics thread meets no page fault in the middle of a frame. */
	void *base = mmap(NULL, real_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (base == MAP_FAILED)
		return fail(error, p->name, "cannot be mapped: %s", strerror(errno));
	*segment = (struct segment){
		.base = base,
		.size_bytes = real_size,
		.generation = words[H_GENERATION],
		.slot_count = words[H_COUNT],
		.slot_stride = words[H_STRIDE],
		.width = words[H_WIDTH],
		.height = words[H_HEIGHT],
	};
	snprintf(segment->name, sizeof(segment->name), "%s", p->name);
	return true;
}

bool segment_open(struct segment *segment, const struct segment_promise *promise, struct segment_error *error)
{
	char path[SEGMENT_NAME_BYTES + 1];
	*segment = (struct segment){0};
	if (!name_is_ours(promise->name))
		return fail(error, promise->name, "that is not the name of a Limner segment");
	snprintf(path, sizeof(path), "/%s", promise->name);
	const int fd = shm_open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return fail(error, promise->name, "%s", strerror(errno));
	const bool good = map_checked(segment, fd, promise, error);
	close(fd);
	return good;
}

void segment_close(struct segment *segment)
{
	if (segment->base)
		munmap(segment->base, segment->size_bytes);
	segment->base = NULL;
}

void segment_unlink(const struct segment *segment)
{
	char path[SEGMENT_NAME_BYTES + 1];
	if (!segment->name[0])
		return;
	snprintf(path, sizeof(path), "/%s", segment->name);
	shm_unlink(path);
}

size_t segment_frame_bytes(const struct segment *segment)
{
	return (size_t)segment->width * segment->height * BYTES_PER_PIXEL;
}

static uint8_t *slot_at(const struct segment *segment, uint32_t slot)
{
	assert(segment->base && slot < segment->slot_count);
	return segment->base + FIRST_SLOT_OFFSET + (size_t)slot * segment->slot_stride;
}

uint8_t *segment_pixels(const struct segment *segment, uint32_t slot)
{
	return slot_at(segment, slot) + SLOT_HEADER_BYTES;
}

void segment_write_slot_header(
	const struct segment *segment, uint32_t slot, uint64_t sequence, uint64_t pts_ns)
{
	uint8_t *at = slot_at(segment, slot);
	for (int i = 0; i < 8; i++) {
		at[i] = (uint8_t)(sequence >> (8 * i));
		at[8 + i] = (uint8_t)(pts_ns >> (8 * i));
		at[16 + i / 2] = 0; /* flags */
	}
}
