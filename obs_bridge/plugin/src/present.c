/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "present.h"

#include <string.h>

#include "clock.h"

/* Width of the soft border where crop leaves the source bare, in parts of the engine's picture. */
#define FEATHER 0.03f
/* No border to soften: the painted picture covers the source. */
#define NO_FEATHER 1e-6f
/* scRGB counts in units of 80 nits. */
#define SCRGB_WHITE_NITS 80.0f

void present_free(struct present *p)
{
	for (int i = 0; i < PRESENT_TEXTURES; i++) {
		gs_texture_destroy(p->textures[i]);
		p->textures[i] = NULL;
	}
	p->painted = NULL;
}

static bool prepare(struct present *p, const struct stream *s)
{
	if (p->textures[0] && p->width == s->width && p->height == s->height)
		return true;
	present_free(p);
	for (int i = 0; i < PRESENT_TEXTURES; i++) {
		p->textures[i] = gs_texture_create(s->width, s->height, GS_RGBA, 1, NULL, GS_DYNAMIC);
		if (!p->textures[i]) {
			present_free(p);
			return false;
		}
	}
	p->width = s->width;
	p->height = s->height;
	return true;
}

static void give_back(struct stream *s, const struct frame_ref *frame, struct present_news *news)
{
	ring_put(&s->output_done, frame);
	news->freed = true;
}

static void take_arrivals(struct stream *s, struct stats *stats, struct present_news *news)
{
	struct frame_ref frame;
	while (ring_take(&s->output_ready, &frame)) {
		if (!playout_push(&s->playout, &frame)) {
			stats->overtaken++;
			give_back(s, &frame, news);
		}
	}
}

/* OBS copies the slot into a buffer of the driver's: the upload is a GL call, measured by itself. */
static void upload(struct present *p, const struct stream *s, uint32_t slot, struct stats *stats)
{
	const uint64_t began_ns = clock_now_ns();
	p->painted = p->textures[p->next];
	p->next = (p->next + 1) % PRESENT_TEXTURES;
	gs_texture_set_image(p->painted, segment_pixels(&s->output, slot), s->width * 4, false);
	histogram_add_ns(&stats->upload, clock_now_ns() - began_ns);
}

static void forget_queue(struct stream *s, struct stats *stats, struct present_news *news)
{
	struct playout *p = &s->playout;
	for (uint32_t i = 0; i < p->queued; i++)
		give_back(s, &p->queue[i], news);
	stats->overtaken += p->queued;
	p->queued = 0;
}

struct present_news present_advance(struct present *p, struct stream *stream, const struct fit_memory *cut,
	uint64_t now_ns, bool forget, struct stats *stats)
{
	struct present_news news = {0};
	struct frame_ref due, passed[RING_CAPACITY];
	uint32_t passed_count = 0;
	const uint64_t began_ns = clock_now_ns();
	take_arrivals(stream, stats, &news);
	if (forget)
		forget_queue(stream, stats, &news);
	const bool is_due = playout_pop(&stream->playout, now_ns, &due, passed, &passed_count);
	for (uint32_t i = 0; i < passed_count; i++)
		give_back(stream, &passed[i], &news);
	stats->overtaken += passed_count;
	stats->delay_us = stream->playout.delay_ns / NS_PER_US;
	news.worked_ns = clock_now_ns() - began_ns;
	if (!is_due)
		return news;
	p->failed = !prepare(p, stream);
	if (!p->failed) {
		upload(p, stream, due.slot, stats);
		const struct fit_rect *rect = fit_recall(cut, due.sequence);
		p->rect = rect ? *rect : p->rect;
		news.new_frame = true;
	}
	give_back(stream, &due, &news);
	histogram_add_ns(&stats->delay, stream->playout.delay_ns);
	news.delay_ns = now_ns > due.pts_ns ? now_ns - due.pts_ns : 0;
	histogram_add_ns(&stats->latency, news.delay_ns);
	return news;
}

static float brightness_of_canvas(void)
{
	return gs_get_color_space() == GS_CS_709_SCRGB ? obs_get_video_sdr_white_level() / SCRGB_WHITE_NITS
						       : 1.0f;
}

static void set_parameters(const struct present *p, gs_texture_t *source, float share)
{
	const struct fit_rect *rect = &p->rect;
	struct vec2 origin, size, feather;
	vec2_set(&origin, rect->left, rect->top);
	vec2_set(&size, rect->width, rect->height);
	/* Beyond the source (letterbox) nothing is drawn, so only a crop has borders to soften. */
	vec2_set(&feather, rect->width < 1 ? FEATHER : NO_FEATHER, rect->height < 1 ? FEATHER : NO_FEATHER);
	gs_effect_set_vec2(gs_effect_get_param_by_name(p->effect, "rect_origin"), &origin);
	gs_effect_set_vec2(gs_effect_get_param_by_name(p->effect, "rect_size"), &size);
	gs_effect_set_vec2(gs_effect_get_param_by_name(p->effect, "feather"), &feather);
	gs_effect_set_float(gs_effect_get_param_by_name(p->effect, "wet"), p->painted ? share : 0.0f);
	gs_effect_set_float(gs_effect_get_param_by_name(p->effect, "multiplier"), brightness_of_canvas());
	gs_effect_set_texture_srgb(gs_effect_get_param_by_name(p->effect, "image"), source);
	gs_effect_set_texture_srgb(
		gs_effect_get_param_by_name(p->effect, "painted"), p->painted ? p->painted : source);
}

void present_draw(const struct present *p, gs_texture_t *source, float share)
{
	const bool encoded = gs_framebuffer_srgb_enabled();
	gs_enable_framebuffer_srgb(true);
	gs_blend_state_push();
	gs_blend_function(GS_BLEND_ONE, GS_BLEND_INVSRCALPHA);
	set_parameters(p, source, share);
	while (gs_effect_loop(p->effect, "Present"))
		gs_draw_sprite(source, 0, gs_texture_get_width(source), gs_texture_get_height(source));
	gs_blend_state_pop();
	gs_enable_framebuffer_srgb(encoded);
}
