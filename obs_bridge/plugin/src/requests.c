/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "requests.h"

#include <math.h>
#include <stdio.h>

#include "about.h"
#include "filters.h"
#include "steer.h"

/* ---- reading and answering ---- */

static void refuse(obs_data_t *response, const char *why)
{
	obs_data_set_bool(response, "success", false);
	about_put_text(response, "error", why);
}

static void no_filter(obs_data_t *response, const struct filter_names *meant)
{
	char why[1000];
	if (meant->source[0] && meant->filter[0])
		snprintf(why, sizeof(why),
			"the source '%.400s' has no Limner filter '%.400s'; GetStatus lists them",
			meant->source, meant->filter);
	else if (meant->source[0])
		snprintf(why, sizeof(why), "the source '%.800s' has no Limner filter; GetStatus lists them",
			meant->source);
	else if (meant->filter[0])
		snprintf(why, sizeof(why), "there is no Limner filter '%.800s'; GetStatus lists them",
			meant->filter);
	else
		snprintf(why, sizeof(why), "no source has a Limner filter; add one to a source first");
	refuse(response, why);
}

/* What has another type would be read as 0, "" or false. */
static bool is_given(obs_data_t *request, const char *key, enum obs_data_type type)
{
	obs_data_item_t *item = obs_data_item_byname(request, key);
	const bool given = item && obs_data_item_gettype(item) == type;
	obs_data_item_release(&item);
	return given;
}

/* False: it is there, but no text, and is refused. */
static bool take_name(obs_data_t *request, obs_data_t *response, const char *key, const char **name)
{
	char why[200];
	*name = obs_data_get_string(request, key);
	if (!obs_data_has_user_value(request, key) || is_given(request, key, OBS_DATA_STRING))
		return true;
	snprintf(why, sizeof(why), "%s is no text: the name of a %s, or leave it out for all filters", key,
		key);
	refuse(response, why);
	return false;
}

/* The names of the source and of the filter that are meant; "": any. */
static bool take_names(obs_data_t *request, obs_data_t *response, struct filter_names *meant)
{
	return take_name(request, response, "source", &meant->source) &&
	       take_name(request, response, "filter", &meant->filter);
}

/* Do it to the filters that the request names, or to all; says how many it reached. */
static bool do_to(obs_data_t *request, obs_data_t *response, filters_call call, void *data)
{
	struct filter_names meant;
	if (!take_names(request, response, &meant))
		return false;
	const size_t reached = filters_each(&meant, call, data);
	obs_data_set_int(response, "filters_reached", (long long)reached);
	if (reached == 0)
		no_filter(response, &meant);
	else
		obs_data_set_bool(response, "success", true);
	return reached > 0;
}

/* ---- each of them ---- */

static void add_status(struct filter *f, void *data)
{
	struct link_status *status = bzalloc(sizeof(*status));
	obs_data_t *about = about_filter(f);
	link_get_status(f->link, status);
	obs_data_set_string(about, "state", protocol_state_name(status->state));
	about_put_text(about, "sentence", status->sentence);
	about_put_text(about, "model", status->model);
	about_put_text(about, "device", status->device);
	obs_data_set_double(about, "fps", status->fps_out);
	obs_data_set_double(about, "latency_ms", status->latency_ms);
	obs_data_set_double(about, "delay_ms", (double)f->stats.delay_us / 1000);
	obs_data_set_int(about, "dropped", (long long)status->dropped);
	if (status->settings_known)
		about_put_look(about, &status->settings);
	/* The filter's own: the daemon may not have heard of it yet. */
	obs_data_set_bool(about, "bypass", link_is_bypassed(f->link));
	obs_data_array_push_back(data, about);
	obs_data_release(about);
	bfree(status);
}

static void get_status(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	struct filter_names meant;
	if (!take_names(request, response, &meant))
		return;
	obs_data_array_t *filters = obs_data_array_create();
	filters_each(&meant, add_status, filters);
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
	bool taken, any_known;
};

static void set_style_of(struct filter *f, void *data)
{
	struct style_wish *wish = data;
	struct link_status *status = bzalloc(sizeof(*status));
	link_get_status(f->link, status);
	wish->any_known |= status->style_count > 0;
	bfree(status);
	wish->taken |= steer_style(f, wish->style);
}

static void set_style(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	struct style_wish wish = {.style = obs_data_get_string(request, "style")};
	char why[1000];
	if (!is_given(request, "style", OBS_DATA_STRING) || !wish.style[0]) {
		refuse(response, "style is missing: the name of a style, a text; ListStyles lists them");
	} else if (do_to(request, response, set_style_of, &wish) && !wish.taken) {
		snprintf(why, sizeof(why),
			wish.any_known ? "there is no style '%.800s'; ListStyles lists them"
				       : "no styles are known yet, so not '%.800s' either: GetStatus says "
					 "what the filter waits for",
			wish.style);
		refuse(response, why);
	} else if (wish.taken) {
		about_put_text(response, "style", wish.style);
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
	if (!is_given(request, "prompt", OBS_DATA_STRING)) {
		refuse(response, "prompt is missing: what to paint, in words");
		return;
	}
	text_copy_chars(prompt, obs_data_get_string(request, "prompt"), MAX_PROMPT_CHARS);
	if (do_to(request, response, set_prompt_of, prompt))
		about_put_text(response, "prompt", prompt);
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
	if (!is_given(request, "strength", OBS_DATA_NUMBER) || !isfinite(strength))
		refuse(response, "strength is missing: a number, 0 to 1");
	else if (do_to(request, response, set_strength_of, &strength))
		obs_data_set_double(response, "strength", strength);
}

static void set_steps_of(struct filter *f, void *data)
{
	int *steps = data;
	*steps = steer_steps(f, *steps);
}

static void set_steps(obs_data_t *request, obs_data_t *response, void *unused)
{
	UNUSED_PARAMETER(unused);
	const double wanted = obs_data_get_double(request, "steps");
	int steps = (int)fmin(fmax(wanted, 0), 1000);
	if (!is_given(request, "steps", OBS_DATA_NUMBER) || wanted != floor(wanted))
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
	enum bypass_wish wish = BYPASS_TOGGLE;
	if (obs_data_has_user_value(request, "bypass")) {
		if (!is_given(request, "bypass", OBS_DATA_BOOLEAN)) {
			refuse(response,
				"bypass is neither true nor false; leave it out to get the other of what is");
			return;
		}
		wish = obs_data_get_bool(request, "bypass") ? BYPASS_ON : BYPASS_OFF;
	}
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

const struct request requests[REQUEST_COUNT] = {
	{"GetStatus", get_status},
	{"ListStyles", list_styles},
	{"SetStyle", set_style},
	{"SetPrompt", set_prompt},
	{"SetStrength", set_strength},
	{"SetSteps", set_steps},
	{"Bypass", bypass},
	{"Reset", reset},
};
