/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "capture.h"

#include <math.h>
#include <string.h>

#include "clock.h"

#define MAX_TAPS 6

static void free_surfaces(struct capture *c)
{
	for (int i = 0; i < CAPTURE_RING; i++) {
		struct staged *staged = &c->ring[i];
		if (staged->use == STAGED_MAPPED)
			gs_stagesurface_unmap(staged->surface);
		gs_stagesurface_destroy(staged->surface);
		staged->surface = NULL;
		staged->use = STAGED_EMPTY;
	}
}

void capture_free(struct capture *c)
{
	free_surfaces(c);
	gs_texrender_destroy(c->source);
	gs_texrender_destroy(c->scaled[0]);
	gs_texrender_destroy(c->scaled[1]);
	c->source = c->scaled[0] = c->scaled[1] = NULL;
	c->generation = 0;
}

void capture_forget(struct capture *c)
{
	for (int i = 0; i < CAPTURE_RING; i++)
		if (c->ring[i].use == STAGED_FULL)
			c->ring[i].use = STAGED_EMPTY;
	c->drawn_pts_ns = 0;
}

void target_draw(const struct target *target)
{
	const uint32_t flags = obs_source_get_output_flags(target->source);
	const bool custom_draw = (flags & OBS_SOURCE_CUSTOM_DRAW) != 0;
	const bool async = (flags & OBS_SOURCE_ASYNC) != 0;
	if (target->source == target->parent && !custom_draw && !async)
		obs_source_default_render(target->source);
	else
		obs_source_video_render(target->source);
}

gs_texture_t *capture_source(struct capture *c, const struct target *target, uint32_t width, uint32_t height)
{
	struct vec4 transparent;
	if (!c->source)
		c->source = gs_texrender_create(GS_RGBA, GS_ZS_NONE);
	gs_texrender_reset(c->source);
	/* Plain sRGB whatever the canvas has: HDR sources map their tones by themselves. */
	if (!gs_texrender_begin_with_color_space(c->source, width, height, GS_CS_SRGB))
		return NULL;
	const bool linear = gs_set_linear_srgb(true);
	vec4_zero(&transparent);
	gs_clear(GS_CLEAR_COLOR, &transparent, 0.0f, 0);
	gs_ortho(0.0f, (float)width, 0.0f, (float)height, -100.0f, 100.0f);
	gs_blend_state_push();
	gs_blend_function_separate(GS_BLEND_SRCALPHA, GS_BLEND_ZERO, GS_BLEND_ONE, GS_BLEND_ZERO);
	target_draw(target);
	gs_blend_state_pop();
	gs_set_linear_srgb(linear);
	gs_texrender_end(c->source);
	return gs_texrender_get_texture(c->source);
}

/* A new generation means that the I/O thread has left the old stream, and with it all that was to be copied.
 */
static bool prepare(struct capture *c, const struct stream *stream)
{
	if (c->generation == stream->generation && c->width == stream->width && c->height == stream->height)
		return true;
	free_surfaces(c);
	for (int i = 0; i < CAPTURE_RING; i++) {
		c->ring[i].surface = gs_stagesurface_create(stream->width, stream->height, GS_RGBA);
		if (!c->ring[i].surface)
			return false;
	}
	for (int i = 0; i < 2; i++)
		if (!c->scaled[i])
			c->scaled[i] = gs_texrender_create(GS_RGBA, GS_ZS_NONE);
	c->drawn_pts_ns = 0;
	c->width = stream->width;
	c->height = stream->height;
	c->generation = stream->generation;
	return c->scaled[0] && c->scaled[1];
}

static int taps_for(double source_pixels_per_pixel)
{
	const int taps = (int)ceil(source_pixels_per_pixel / 2); /* a tap is the mean of 2 × 2 */
	return taps < 1 ? 1 : taps > MAX_TAPS ? MAX_TAPS : taps;
}

static void set_scaling(struct capture *c, gs_texture_t *source, const struct fit_rect *rect)
{
	const double across = (double)rect->width * gs_texture_get_width(source) / c->width;
	const double down = (double)rect->height * gs_texture_get_height(source) / c->height;
	const int taps = taps_for(across > down ? across : down);
	struct vec2 origin, size, texel;
	vec2_set(&origin, rect->left, rect->top);
	vec2_set(&size, rect->width, rect->height);
	vec2_set(&texel, rect->width / (float)c->width / (float)taps,
		rect->height / (float)c->height / (float)taps);
	gs_effect_set_vec2(gs_effect_get_param_by_name(c->effect, "rect_origin"), &origin);
	gs_effect_set_vec2(gs_effect_get_param_by_name(c->effect, "rect_size"), &size);
	gs_effect_set_vec2(gs_effect_get_param_by_name(c->effect, "texel"), &texel);
	gs_effect_set_int(gs_effect_get_param_by_name(c->effect, "taps"), taps);
	gs_effect_set_texture_srgb(gs_effect_get_param_by_name(c->effect, "image"), source);
}

static bool scale(struct capture *c, const struct fit_rect *rect)
{
	gs_texture_t *source = gs_texrender_get_texture(c->source);
	gs_texrender_t *scaled = c->scaled[!c->drawn];
	gs_texrender_reset(scaled);
	if (!source || !gs_texrender_begin_with_color_space(scaled, c->width, c->height, GS_CS_SRGB))
		return false;
	gs_ortho(0.0f, (float)c->width, 0.0f, (float)c->height, -100.0f, 100.0f);
	gs_blend_state_push();
	gs_blend_function(GS_BLEND_ONE, GS_BLEND_ZERO);
	const bool encoded = gs_framebuffer_srgb_enabled();
	gs_enable_framebuffer_srgb(true);
	set_scaling(c, source, rect);
	while (gs_effect_loop(c->effect, "Capture"))
		gs_draw_sprite(source, 0, c->width, c->height);
	gs_enable_framebuffer_srgb(encoded);
	gs_blend_state_pop();
	gs_texrender_end(scaled);
	c->drawn = !c->drawn;
	return true;
}

static void unmap_copied(struct capture *c)
{
	for (int i = 0; i < CAPTURE_RING; i++) {
		struct staged *staged = &c->ring[i];
		if (staged->use == STAGED_MAPPED && atomic_load(&staged->copied)) {
			gs_stagesurface_unmap(staged->surface);
			staged->use = STAGED_EMPTY;
		}
	}
}

static struct staged *find(struct capture *c, int use, uint64_t up_to_frame)
{
	for (int i = 0; i < CAPTURE_RING; i++)
		if (c->ring[i].use == (unsigned)use && c->ring[i].frame <= up_to_frame)
			return &c->ring[i];
	return NULL;
}

/* Map what was staged a while ago, and leave the copying into a free slot to the I/O thread. */
static bool hand_over(
	struct capture *c, struct staged *staged, struct stream *s, struct stats *stats, uint64_t *worked_ns)
{
	uint8_t *pixels;
	uint32_t linesize;
	struct frame_ref frame;
	staged->use = STAGED_EMPTY;
	if (ring_is_empty(&s->input_free)) {
		stats->dropped++;
		return false;
	}
	if (!gs_stagesurface_map(staged->surface, &pixels, &linesize))
		return false;
	const uint64_t began_ns = clock_now_ns();
	staged->use = STAGED_MAPPED;
	if (!ring_take(&s->input_free, &frame)) { /* it was not empty, and only we take */
		atomic_store(&staged->copied, 1);
		return false;
	}
	atomic_store(&staged->copied, 0);
	frame.sequence = c->sequence++;
	fit_remember(&c->cut, frame.sequence, &staged->rect);
	frame.pts_ns = staged->pts_ns;
	frame.pixels = pixels;
	frame.linesize = linesize;
	frame.copied = &staged->copied;
	ring_put(&s->input_filled, &frame);
	stats->captured++;
	*worked_ns += clock_now_ns() - began_ns;
	return true;
}

/* Drawn in the last frame, so that copying it waits for nothing. */
static void stage_drawn(struct capture *c, struct stats *stats)
{
	struct staged *staged = find(c, STAGED_EMPTY, c->frame);
	if (c->drawn_pts_ns == 0)
		return;
	if (!staged) {
		stats->dropped++;
		return;
	}
	gs_stage_texture(staged->surface, gs_texrender_get_texture(c->scaled[c->drawn]));
	staged->use = STAGED_FULL;
	staged->pts_ns = c->drawn_pts_ns;
	staged->rect = c->drawn_rect;
	staged->frame = c->frame;
}

bool capture_frame(struct capture *c, struct stream *stream, const struct fit_rect *rect, uint64_t pts_ns,
	struct stats *stats, uint64_t *worked_ns)
{
	bool handed = false;
	c->failed = !prepare(c, stream);
	if (c->failed)
		return false;
	c->frame++;
	unmap_copied(c);
	struct staged *oldest = c->frame > CAPTURE_LAG ? find(c, STAGED_FULL, c->frame - CAPTURE_LAG) : NULL;
	if (oldest)
		handed = hand_over(c, oldest, stream, stats, worked_ns);
	stage_drawn(c, stats);
	c->drawn_pts_ns = scale(c, rect) ? pts_ns : 0;
	c->drawn_rect = *rect;
	return handed;
}
