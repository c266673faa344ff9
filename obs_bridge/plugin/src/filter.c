/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <util/dstr.h>

#include "clock.h"
#include "filters.h"
#include "settings.h"
#include "settings_keys.h"
#include "steer.h"
#include "vendor.h"

#ifndef LIMNER_VERSION
#define LIMNER_VERSION "0.1.0"
#endif
/* Not drawn for this long: it was hidden, and what was under way then is old. */
#define HIDDEN_NS 500000000ull

static const char *filter_name(void *unused)
{
	UNUSED_PARAMETER(unused);
	return obs_module_text("LimnerFilter");
}

static void state_changed(void *data)
{
	struct filter *f = data;
	obs_source_update_properties(f->context);
}

static void news(void *data, const struct link_news *heard)
{
	vendor_tell_news(data, heard);
}

static void receipt(void *data, const struct link_receipt *given)
{
	vendor_tell_receipt(data, given);
}

static void get_state(void *data, calldata_t *call)
{
	struct filter *f = data;
	struct link_status *status = bzalloc(sizeof(*status));
	link_get_status(f->link, status);
	calldata_set_string(call, "state", protocol_state_name(status->state));
	calldata_set_string(call, "sentence", status->sentence);
	calldata_set_float(call, "fps", status->fps_out);
	bfree(status);
}

/* Somebody else (a terminal) may have ended it: then it is not to come back. */
static void filter_save(void *data, obs_data_t *settings)
{
	const struct filter *f = data;
	if (!link_is_bypassed(f->link))
		obs_data_set_bool(settings, S_BYPASS, false);
}

/* Runs on the graphics thread (OBS defers it there) and in create. */
static void filter_update(void *data, obs_data_t *settings)
{
	struct filter *f = data;
	f->look = settings_look(settings);
	if (pthread_mutex_trylock(&f->mirror_mutex) != 0)
		return;
	struct link_wish wish = settings_wish(settings);
	wish.mirrored = f->mirrored;
	wish.mirrors = f->mirrors;
	pthread_mutex_unlock(&f->mirror_mutex);
	wish.serial = atomic_fetch_add(&f->wish_serial, 1) + 1;
	atomic_store(&f->wish_hash, settings_hash(&wish));
	link_set_wish(f->link, &wish);
	sound_settings_changed(f);
}

static bool load_effect(struct filter *f)
{
	char *path = obs_module_file("limner.effect");
	char *fault = NULL;
	obs_enter_graphics();
	f->effect = path ? gs_effect_create_from_file(path, &fault) : NULL;
	obs_leave_graphics();
	if (!f->effect)
		blog(LOG_ERROR, "[limner] cannot use %s: %s", path ? path : "limner.effect (missing)",
			fault ? fault : "no reason given");
	bfree(fault);
	bfree(path);
	f->capture.effect = f->present.effect = f->effect;
	return f->effect != NULL;
}

static const char *own_fault(const struct filter *f)
{
	if (!f->effect)
		return "FaultEffect";
	return f->capture.failed || f->present.failed ? "FaultGraphics" : NULL;
}

static void filter_free(struct filter *f)
{
	hotkeys_unregister(&f->hotkeys);
	sound_release(f); /* before another filter may have that source */
	filters_remove(f);
	steer_release(f);
	link_destroy(f->link);
	obs_enter_graphics();
	capture_free(&f->capture);
	present_free(&f->present);
	gs_effect_destroy(f->effect);
	obs_leave_graphics();
	obs_weak_source_release(f->weak);
	pthread_mutex_destroy(&f->mirror_mutex);
	bfree(f);
}

static void filter_destroy(void *data)
{
	filter_free(data);
}

static void *filter_create(obs_data_t *settings, obs_source_t *context)
{
	struct filter *f = bzalloc(sizeof(*f));
	struct dstr command_file = {0};
	dstr_printf(&command_file, "%s/limner-command", obs_get_module_data_path(obs_current_module()));
	pthread_mutex_init(&f->mirror_mutex, NULL);
	f->context = context;
	f->weak = obs_source_get_weak_source(context);
	f->present.rect = (struct fit_rect){0, 0, 1, 1};
	const struct link_options options = {
		.hooks = {.context = f,
			.state_changed = state_changed,
			.mirror = settings_mirror,
			.news = news,
			.receipt = receipt,
			.words = settings_words},
		.client = "Limner OBS filter " LIMNER_VERSION,
		.command_file = command_file.array,
		.stats_path = getenv("LIMNER_FILTER_STATS"),
		.stats = &f->stats,
		.exact_size = settings_exact_size(settings),
	};
	/* Without its effect the filter passes the picture through; everything else goes on. */
	load_effect(f);
	f->link = link_create(&options);
	dstr_free(&command_file);
	if (!f->link)
		goto fail;
	proc_handler_add(obs_source_get_proc_handler(context),
		"void get_state(out string state, out string sentence, out float fps)", get_state, f);
	link_set_fault(f->link, own_fault(f));
	filter_update(f, settings);
	if (obs_data_get_bool(settings, S_BYPASS))
		link_ask_bypass(f->link, true);
	filters_add(f);
	return f;
fail:
	filter_free(f);
	return NULL;
}

/* False: the filter is not on a source (any more). */
static bool hold_target(const struct filter *f, struct target *target)
{
	target->source = obs_source_get_ref(obs_filter_get_target(f->context));
	target->parent = obs_source_get_ref(obs_filter_get_parent(f->context));
	return target->source && target->parent;
}

static void let_go(struct target *target)
{
	obs_source_release(target->source);
	obs_source_release(target->parent);
}

/* Tell the link what is to be painted, when that has changed. */
static void describe_source(struct filter *f, const struct target *target)
{
	struct link_source now = {0};
	struct obs_video_info video;
	now.width = obs_source_get_base_width(target->source);
	now.height = obs_source_get_base_height(target->source);
	if (now.width < 1 || now.height < 1)
		return;
	const char *name = obs_source_get_name(target->parent); /* NULL: a private source without one */
	text_copy_chars(now.name, name ? name : "", MAX_NAME_CHARS);
	if (now.width == f->source.width && now.height == f->source.height &&
		strcmp(now.name, f->source.name) == 0)
		return;
	now.fps = obs_get_video_info(&video) ? (double)video.fps_num / video.fps_den : 30.0;
	f->source = now;
	fit_within(&now.width, &now.height, MAX_SIDE); /* only the shape matters to the daemon */
	link_set_source(f->link, &now);
}

/* The sound follows what was drawn in the frame before; what is hidden is not painted. */
static void follow_sound(struct filter *f)
{
	const uint64_t now_ns = obs_get_video_frame_time();
	const bool is_drawn = now_ns <= f->rendered_ns + HIDDEN_NS;
	sound_tick(f, is_drawn && f->share > 0, f->delay_ns, now_ns);
	f->delay_ns = 0;
}

static void filter_tick(void *data, float seconds)
{
	UNUSED_PARAMETER(seconds);
	struct filter *f = data;
	f->new_frame = true;
	f->source_texture = NULL;
	follow_sound(f);
	obs_source_t *parent = obs_filter_get_parent(f->context);
	if (!parent)
		return;
	hotkeys_register_soon(f);
	link_set_on_air(f->link, obs_source_active(parent));
}

static void count_frame(struct filter *f, bool new_painted)
{
	f->stats.processed++;
	f->stats.shown = f->share;
	if (new_painted)
		f->stats.painted_shown++;
	else if (f->share > 0)
		f->stats.held++;
	if (f->share <= 0)
		f->stats.source_shown++;
}

/* All work of a frame, once: what is due, how much of it shows, and the next frame's way to the engine. */
static void process_frame(struct filter *f, const struct target *target)
{
	const uint64_t now_ns = obs_get_video_frame_time();
	const bool was_hidden = now_ns > f->rendered_ns + HIDDEN_NS;
	const bool wanted = link_wants_frames(f->link) && f->look.mix > 0;
	struct present_news news = {0};
	struct fit_rect rect = {0, 0, 1, 1};
	uint64_t worked_ns = 0;
	bool handed = false;
	f->rendered_ns = now_ns;
	if (was_hidden)
		capture_forget(&f->capture);
	struct stream *stream = link_borrow(f->link);
	if (stream) {
		rect = fit_source(
			f->look.fit, f->source.width, f->source.height, stream->width, stream->height);
		news = present_advance(&f->present, stream, &f->capture.cut, now_ns, was_hidden, &f->stats);
	}
	if (!link_wants_frames(f->link) || !link_is_painting(f->link))
		fade_forget_pauses(&f->fade);
	struct fade_rules rules = f->look.fade;
	rules.wanted = f->look.mix > 0 && !link_is_bypassed(f->link);
	if (atomic_exchange(&f->cut_away, false))
		fade_cut_away(&f->fade);
	f->share = f->look.mix * (float)fade_advance(&f->fade, &rules, now_ns, news.new_frame);
	if ((stream && wanted) || f->share > 0)
		f->source_texture = capture_source(&f->capture, target, f->source.width, f->source.height);
	if (stream && wanted && f->source_texture)
		handed = capture_frame(&f->capture, stream, &rect, now_ns, &f->stats, &worked_ns);
	if (stream)
		link_give_back(f->link, news.freed || handed);
	f->delay_ns = news.delay_ns;
	link_set_fault(f->link, own_fault(f));
	histogram_add_ns(&f->stats.work, worked_ns + news.worked_ns);
	count_frame(f, news.new_frame);
}

static void render_target(struct filter *f, const struct target *target)
{
	describe_source(f, target);
	if (!f->effect || f->source.width == 0) {
		target_draw(target);
		return;
	}
	if (f->new_frame) {
		const uint64_t began_ns = clock_now_ns();
		f->new_frame = false;
		process_frame(f, target);
		histogram_add_ns(&f->stats.frame, clock_now_ns() - began_ns);
	}
	if (f->share > 0 && f->source_texture)
		present_draw(&f->present, f->source_texture, f->share);
	else
		target_draw(target);
}

static void filter_render(void *data, gs_effect_t *unused)
{
	UNUSED_PARAMETER(unused);
	struct filter *f = data;
	struct target target;
	f->stats.draws++;
	if (hold_target(f, &target))
		render_target(f, &target);
	let_go(&target);
}

/* While the painted picture shows, what we draw is plain sRGB; else it is whatever the source is. */
static enum gs_color_space filter_color_space(void *data, size_t count, const enum gs_color_space *preferred)
{
	struct filter *f = data;
	struct target target;
	enum gs_color_space space = GS_CS_SRGB;
	if (hold_target(f, &target) && f->share <= 0)
		space = obs_source_get_color_space(target.source, count, preferred);
	let_go(&target);
	return space;
}

static obs_properties_t *filter_properties(void *data)
{
	return settings_properties(data);
}

struct obs_source_info limner_filter_info = {
	.id = FILTER_ID,
	.type = OBS_SOURCE_TYPE_FILTER,
	.output_flags = OBS_SOURCE_VIDEO | OBS_SOURCE_SRGB,
	.get_name = filter_name,
	.create = filter_create,
	.destroy = filter_destroy,
	.get_defaults = settings_defaults,
	.get_properties = filter_properties,
	.update = filter_update,
	.save = filter_save,
	.video_tick = filter_tick,
	.video_render = filter_render,
	.video_get_color_space = filter_color_space,
};
