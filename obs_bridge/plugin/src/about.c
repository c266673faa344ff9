/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "about.h"

void about_put_text(obs_data_t *to, const char *key, const char *text)
{
	char *whole = bstrdup(text);
	text_make_utf8(whole);
	obs_data_set_string(to, key, whole);
	bfree(whole);
}

static void put_name(obs_data_t *to, const char *key, const obs_source_t *source)
{
	const char *name = source ? obs_source_get_name(source) : NULL;
	about_put_text(to, key, name ? name : "");
}

obs_data_t *about_filter(const struct filter *f)
{
	obs_data_t *about = obs_data_create();
	obs_source_t *parent = obs_source_get_ref(obs_filter_get_parent(f->context));
	put_name(about, "source", parent);
	put_name(about, "filter", f->context);
	obs_source_release(parent);
	return about;
}

void about_put_look(obs_data_t *to, const struct settings *settings)
{
	about_put_text(to, "style", settings->style);
	about_put_text(to, "prompt", settings->prompt);
	obs_data_set_double(to, "strength", settings->strength);
	obs_data_set_int(to, "steps", settings->steps);
	obs_data_set_bool(to, "bypass", settings->bypass);
}
