/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vendor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "filters.h"
#include "steer.h"
#include "websocket.h"

static struct websocket_vendor *vendor;

/* ---- answers ---- */

static void refuse(obs_data_t *response, const char *why)
{
	obs_data_set_bool(response, "success", false);
	obs_data_set_string(response, "error", why);
}

static void no_filter(obs_data_t *response, const char *source)
{
	char why[300];
	if (source[0])
		snprintf(why, sizeof(why), "the source '%.200s' has no Limner filter; GetStatus lists them",
			source);
	else
		snprintf(why, sizeof(why), "no source has a Limner filter; add one to a source first");
	refuse(response, why);
}

/* Do it to the filter of the source that the request names, or to all; says whom it reached. */
static bool do_to(obs_data_t *request, obs_data_t *response, filters_call call, void *data)
{
	const char *source = obs_data_get_string(request, "source");
	const size_t reached = filters_each(source, call, data);
	obs_data_set_int(response, "filters_reached", (long long)reached);
	if (reached == 0)
		no_filter(response, source);
	else
		obs_data_set_bool(response, "success", true);
	return reached > 0;
}

static const char *source_of(const struct filter *f, obs_source_t **hold)
{
	*hold = obs_source_get_ref(obs_filter_get_parent(f->context));
	const char *name = *hold ? obs_source_get_name(*hold) : NULL;
	return name ? name : "";
}

static void put_look(obs_data_t *to, const struct settings *settings)
{
	obs_data_set_string(to, "style", settings->style);
	obs_data_set_string(to, "prompt", settings->prompt);
	obs_data_set_double(to, "strength", settings->strength);
	obs_data_set_int(to, "steps", settings->steps);
	obs_data_set_bool(to, "bypass", settings->bypass);
}

static obs_data_t *begin_about(const struct filter *f)
{
	obs_source_t *hold;
	obs_data_t *about = obs_data_create();
	obs_data_set_string(about, "source", source_of(f, &hold));
	obs_source_release(hold);
	return about;
}

/* ---- requests ---- */

static void add_status(struct filter *f, void *data)
{
	struct link_status *status = bzalloc(sizeof(*status));
	obs_data_t *about = begin_about(f);
	link_get_status(f->link, status);
	obs_data_set_string(about, "state", protocol_state_name(status->state));
	obs_data_set_string(about, "sentence", status->sentence);
	obs_data_set_string(about, "model", status->model);
	obs_data_set_double(about, "fps", status->fps_out);
	obs_data_set_double(about, "latency_ms", status->latency_ms);
	if (status->settings_known)
		put_look(about, &status->settings);
	/* The filter's own: the daemon may not have heard of it yet. */
	obs_data_set_bool(about, "bypass", link_is_bypassed(f->link));
	obs_data_array_push_back(data, about);
	obs_data_release(about);
	bfree(status);
}

static void get_status(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	obs_data_array_t *filters = obs_data_array_create();
	filters_each(obs_data_get_string(request, "source"), add_status, filters);
	obs_data_set_array(response, "filters", filters);
	obs_data_set_bool(response, "success", true);
	obs_data_array_release(filters);
}

static void take_styles(struct filter *f, void *data)
{
	struct link_status *status = bzalloc(sizeof(*status));
	link_get_status(f->link, status);
	/* All filters speak to one daemon: the first that knows styles knows all. */
	for (uint32_t i = 0; i < status->style_count && obs_data_array_count(data) < status->style_count;
		i++) {
		obs_data_t *style = obs_data_create();
		obs_data_set_string(style, "name", status->styles[i]);
		obs_data_array_push_back(data, style);
		obs_data_release(style);
	}
	bfree(status);
}

static void list_styles(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	obs_data_array_t *styles = obs_data_array_create();
	do_to(request, response, take_styles, styles);
	obs_data_set_array(response, "styles", styles);
	obs_data_array_release(styles);
}

struct style_wish {
	const char *style;
	size_t known;
};

static void set_style_of(struct filter *f, void *data)
{
	struct style_wish *wish = data;
	wish->known += steer_style(f, wish->style);
}

static void set_style(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	struct style_wish wish = {.style = obs_data_get_string(request, "style")};
	char why[300];
	if (!wish.style[0]) {
		refuse(response, "style is missing: the name of a style; ListStyles lists them");
	} else if (do_to(request, response, set_style_of, &wish) && wish.known == 0) {
		snprintf(why, sizeof(why), "there is no style '%.200s'; ListStyles lists them", wish.style);
		refuse(response, why);
	} else {
		obs_data_set_string(response, "style", wish.style);
	}
}

static void set_prompt_of(struct filter *f, void *data)
{
	steer_prompt(f, data);
}

static void set_prompt(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	char prompt[PROMPT_BYTES];
	if (!obs_data_has_user_value(request, "prompt")) {
		refuse(response, "prompt is missing: what to paint, in words");
		return;
	}
	text_copy_chars(prompt, obs_data_get_string(request, "prompt"), MAX_PROMPT_CHARS);
	if (do_to(request, response, set_prompt_of, prompt))
		obs_data_set_string(response, "prompt", prompt);
}

static void set_strength_of(struct filter *f, void *data)
{
	double *strength = data;
	*strength = steer_strength(f, *strength);
}

static void set_strength(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	double strength = obs_data_get_double(request, "strength");
	if (!obs_data_has_user_value(request, "strength") || !isfinite(strength)) {
		refuse(response, "strength is missing: a number, 0 to 1");
	} else if (do_to(request, response, set_strength_of, &strength)) {
		obs_data_set_double(response, "strength", strength);
	}
}

static void set_steps_of(struct filter *f, void *data)
{
	int *steps = data;
	*steps = steer_steps(f, *steps);
}

static void set_steps(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	const long long wanted = obs_data_get_int(request, "steps");
	int steps = wanted < 0 ? 0 : wanted > 1000 ? 1000 : (int)wanted;
	if (!obs_data_has_user_value(request, "steps"))
		refuse(response, "steps is missing: a whole number, 1 to 4");
	else if (do_to(request, response, set_steps_of, &steps))
		obs_data_set_int(response, "steps", steps);
}

enum bypass_wish { BYPASS_TOGGLE, BYPASS_ON, BYPASS_OFF };

static void bypass_of(struct filter *f, void *data)
{
	enum bypass_wish *wish = data;
	/* All filters get what the first one is turned to. */
	if (*wish == BYPASS_TOGGLE)
		*wish = link_is_bypassed(f->link) ? BYPASS_OFF : BYPASS_ON;
	steer_bypass(f, *wish == BYPASS_ON);
}

static void bypass(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	enum bypass_wish wish = !obs_data_has_user_value(request, "bypass") ? BYPASS_TOGGLE
				: obs_data_get_bool(request, "bypass")      ? BYPASS_ON
									    : BYPASS_OFF;
	if (do_to(request, response, bypass_of, &wish))
		obs_data_set_bool(response, "bypass", wish == BYPASS_ON);
}

static void reset_of(struct filter *f, void *unused)
{
	UNUSED_PARAMETER(unused);
	steer_reset(f);
}

static void reset(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	do_to(request, response, reset_of, NULL);
}

/* ---- events ---- */

static void emit(const char *type, obs_data_t *about)
{
	if (vendor)
		websocket_emit(vendor, type, about);
	obs_data_release(about);
}

void vendor_tell_news(struct filter *f, const struct link_news *news)
{
	if (news->state) {
		obs_data_t *about = begin_about(f);
		obs_data_set_string(about, "state", protocol_state_name(news->now->state));
		obs_data_set_string(about, "sentence", news->now->sentence);
		emit("StateChanged", about);
	}
	if (news->style) {
		obs_data_t *about = begin_about(f);
		put_look(about, &news->now->settings);
		emit("StyleChanged", about);
	}
}

void vendor_tell_receipt(struct filter *f, const struct link_receipt *receipt)
{
	obs_data_t *about = begin_about(f);
	obs_data_set_string(about, "stage", receipt->applied ? "applied" : "accepted");
	obs_data_set_int(about, "revision", (long long)receipt->rev);
	put_look(about, &receipt->settings);
	if (receipt->applied) {
		obs_data_set_int(about, "chunk", (long long)receipt->chunk);
		obs_data_set_int(about, "presentation_time_ns", (long long)receipt->pts_ns);
	}
	if (receipt->note[0])
		obs_data_set_string(about, "note", receipt->note);
	emit("SettingApplied", about);
}

void vendor_register(void)
{
	static const struct {
		const char *type;
		websocket_request request;
	} requests[] = {
		{"GetStatus", get_status},
		{"ListStyles", list_styles},
		{"SetStyle", set_style},
		{"SetPrompt", set_prompt},
		{"SetStrength", set_strength},
		{"SetSteps", set_steps},
		{"Bypass", bypass},
		{"Reset", reset},
	};
	vendor = websocket_register_vendor("limner");
	if (!vendor) {
		blog(LOG_INFO,
			"[limner] no obs-websocket: stream decks and scripts cannot reach the filters");
		return;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
		if (!websocket_register_request(vendor, requests[i].type, requests[i].request, NULL))
			blog(LOG_WARNING, "[limner] obs-websocket did not take the request %s",
				requests[i].type);
}
