/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <obs-module.h>

#include "filter.h"
#include "log.h"
#include "vendor.h"

OBS_DECLARE_MODULE()
OBS_MODULE_USE_DEFAULT_LOCALE("limner", "en-US")

MODULE_EXPORT const char *obs_module_name(void)
{
	return "Limner";
}

MODULE_EXPORT const char *obs_module_description(void)
{
	return obs_module_text("Description");
}

static void to_obs_log(enum log_level level, const char *line)
{
	static const int levels[] = {[LEVEL_DEBUG] = LOG_DEBUG,
		[LEVEL_INFO] = LOG_INFO,
		[LEVEL_WARNING] = LOG_WARNING,
		[LEVEL_ERROR] = LOG_ERROR};
	blog(levels[level], "[limner] %s", line);
}

bool obs_module_load(void)
{
	log_set_sink(to_obs_log);
	obs_register_source(&limner_filter_info);
	return true;
}

/* Now every other plugin is there, obs-websocket too. */
void obs_module_post_load(void)
{
	vendor_register();
}
