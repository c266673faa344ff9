/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link without OBS: standard input plays the graphics thread and the user, a command a line:
 *   source NAME WIDTH HEIGHT | style NAME | steer NAME | prompt TEXT | strength VALUE | may-start | bypass 1
 * | hold | adopt | air 0 | reset | frame VALUE PTS | painted | status | receipt | fault FaultGraphics | well
 * | quit "style" leaves the other settings as they are, as the page does; "steer" clears them, as a hotkey
 * does. Events and answers are lines on standard output. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "log.h"

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static struct link_wish wish;
static struct settings mirrored, held; /* what the link said last that others have set */
static struct stats stats;

#define SAY(...)                                                                                             \
	do {                                                                                                 \
		pthread_mutex_lock(&output);                                                                 \
		printf(__VA_ARGS__);                                                                         \
		printf("\n");                                                                                \
		fflush(stdout);                                                                              \
		pthread_mutex_unlock(&output);                                                               \
	} while (0)

static void to_output(enum log_level level, const char *line)
{
	SAY("log %d %s", level, line);
}

static void on_state(void *context)
{
	(void)context;
	SAY("state");
}

static void on_mirror(void *context, const struct settings *s, uint64_t serial)
{
	(void)context;
	pthread_mutex_lock(&output);
	mirrored = *s;
	pthread_mutex_unlock(&output);
	SAY("mirror %llu %s|%s|%g|%u", (unsigned long long)serial, s->style, s->prompt, s->strength,
		s->steps);
}

/* A language that says some things in its own way. */
static const char *words(const char *key)
{
	if (strcmp(key, "Launch_not_started") == 0)
		return "NONE STARTED: {command} ({reason})";
	if (strcmp(key, "Change") == 0)
		return "{name}: {value}";
	return strcmp(key, "Say_live") == 0 ? "LIVE {fps}" : key;
}

static void show_receipt(struct link *link)
{
	static struct link_status status;
	char what[1000];
	const struct receipt *last = &status.last;
	link_get_status(link, &status);
	receipt_changes(what, sizeof(what), &last->before, &last->after, words);
	SAY("receipt %llu %s %llu %s|%s", (unsigned long long)last->rev,
		last->applied ? "applied" : "accepted", (unsigned long long)last->chunk, what, last->note);
}

static void send_wish(struct link *link)
{
	wish.serial++;
	link_set_wish(link, &wish);
}

/* As the page does, some time later: take over what others have set. */
static void adopt(struct link *link)
{
	wish.mirrored = held;
	wish.mirrors++;
	struct change *c = &wish.change;
	const struct settings *m = &wish.mirrored;
	memcpy(c->style, m->style, sizeof(c->style));
	memcpy(c->prompt, m->prompt, sizeof(c->prompt));
	c->strength = m->strength;
	c->steps = m->steps;
	c->seed = m->seed;
	c->has_style = c->has_prompt = c->has_strength = c->has_steps = c->has_seed = true;
	send_wish(link);
}

/* A frame of one value, as if mapped from a staging surface with wider rows than the picture's. */
static void hand_over(struct link *link, int value, unsigned long long pts_ns)
{
	static uint8_t *pixels;
	static atomic_int copied;
	struct stream *s = link_borrow(link);
	struct frame_ref frame;
	if (!s) {
		SAY("frame none");
		return;
	}
	const uint32_t linesize = s->width * 4 + 64;
	if (!ring_take(&s->input_free, &frame)) {
		link_give_back(link, false);
		SAY("frame full");
		return;
	}
	pixels = realloc(pixels, (size_t)linesize * s->height);
	memset(pixels, value, (size_t)linesize * s->height);
	frame = (struct frame_ref){.slot = frame.slot,
		.sequence = (uint64_t)value,
		.pts_ns = pts_ns,
		.pixels = pixels,
		.linesize = linesize,
		.copied = &copied};
	atomic_store(&copied, 0);
	ring_put(&s->input_filled, &frame);
	link_give_back(link, true);
	while (!atomic_load(&copied)) /* one buffer for all frames */
		;
	SAY("frame ok");
}

static void show_painted(struct link *link)
{
	struct stream *s = link_borrow(link);
	struct frame_ref frame;
	if (!s) {
		SAY("painted none");
		return;
	}
	int count = 0, value = -1;
	unsigned long long pts_ns = 0;
	while (ring_take(&s->output_ready, &frame)) {
		value = segment_pixels(&s->output, frame.slot)[segment_frame_bytes(&s->output) - 4];
		pts_ns = frame.pts_ns;
		ring_put(&s->output_done, &frame);
		count++;
	}
	link_give_back(link, count > 0);
	SAY("painted %d %d %llu", count, value, pts_ns);
}

static void show_status(struct link *link)
{
	static struct link_status status;
	link_get_status(link, &status);
	SAY("status %s %d %d %u %s|%s", protocol_state_name(status.state), status.open,
		link_wants_frames(link), status.style_count, status.model, status.sentence);
}

static void command(struct link *link, char *line)
{
	struct link_source source = {.fps = 30};
	unsigned long long pts_ns;
	int value;
	if (sscanf(line, "source %800s %u %u", source.name, &source.width, &source.height) == 3) {
		link_set_source(link, &source);
	} else if (strncmp(line, "style ", 6) == 0) {
		wish.change.has_style = true;
		text_copy(wish.change.style, sizeof(wish.change.style), line + 6, strlen(line + 6));
		send_wish(link);
	} else if (strncmp(line, "steer ", 6) == 0) {
		wish.change = (struct change){.has_style = true};
		text_copy(wish.change.style, sizeof(wish.change.style), line + 6, strlen(line + 6));
		send_wish(link);
	} else if (strncmp(line, "prompt ", 7) == 0) {
		wish.change.has_prompt = true;
		text_copy(wish.change.prompt, sizeof(wish.change.prompt), line + 7, strlen(line + 7));
		send_wish(link);
	} else if (sscanf(line, "strength %lf", &wish.change.strength) == 1) {
		wish.change.has_strength = true;
		send_wish(link);
	} else if (sscanf(line, "bypass %d", &value) == 1) {
		link_ask_bypass(link, value != 0);
	} else if (strcmp(line, "hold") == 0) {
		pthread_mutex_lock(&output);
		held = mirrored;
		pthread_mutex_unlock(&output);
	} else if (strcmp(line, "adopt") == 0) {
		adopt(link);
	} else if (sscanf(line, "air %d", &value) == 1) {
		link_set_on_air(link, value != 0);
	} else if (strcmp(line, "reset") == 0) {
		link_ask_reset(link);
	} else if (strcmp(line, "refresh") == 0) {
		link_ask_refresh(link);
	} else if (strcmp(line, "may-start") == 0) {
		wish.may_start_daemon = true;
		send_wish(link);
	} else if (sscanf(line, "frame %d %llu", &value, &pts_ns) == 2) {
		hand_over(link, value, pts_ns);
	} else if (strcmp(line, "fault FaultGraphics") == 0) {
		link_set_fault(link, "FaultGraphics");
	} else if (strcmp(line, "well") == 0) {
		link_set_fault(link, NULL);
	} else if (strcmp(line, "painted") == 0) {
		show_painted(link);
	} else if (strcmp(line, "status") == 0) {
		show_status(link);
	} else if (strcmp(line, "receipt") == 0) {
		show_receipt(link);
	}
}

int main(int argc, char **argv)
{
	char line[8192];
	const struct link_options options = {
		.hooks = {.state_changed = on_state, .mirror = on_mirror, .words = words},
		.client = "link_tool",
		.command_file = argc > 1 ? argv[1] : NULL,
		.stats_path = argc > 2 ? argv[2] : NULL,
		.stats = &stats,
	};
	log_set_sink(to_output);
	struct link *link = link_create(&options);
	send_wish(link);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "quit") == 0)
			break;
		command(link, line);
	}
	link_destroy(link);
	SAY("ended");
	return 0;
}
