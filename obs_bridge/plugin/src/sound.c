/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sound.h"

#include "filters.h"
#include "settings_keys.h"

/* Kept with the source, so that after a restart, or a crash, what is ours is known to be ours. */
#define P_SOUND "limner_sound"
#define P_ADDED "added_ns"
/* OBS ignores an offset that follows on none until its sound stumbles for another reason (seen in OBS 29: it
 * goes on appending to what it has, unless the offset before was another and not 0). So one that nobody hears
 * comes first, and the right one at the next look. */
#define FIRST_NS 1
/* Sources come, go and change their names, and another filter may have been there first. */
#define LOOKS_EVERY_NS 500000000ull
#define IDLE_LOOKS_EVERY_NS 2000000000ull

/* What we, now or in an earlier life, have added to a source's offset. */
static int64_t added_ns_of(obs_source_t *source)
{
	obs_data_t *kept = obs_source_get_private_settings(source);
	obs_data_t *ours = obs_data_get_obj(kept, P_SOUND);
	const int64_t added_ns = ours ? obs_data_get_int(ours, P_ADDED) : 0;
	obs_data_release(ours);
	obs_data_release(kept);
	return added_ns;
}

/* Nothing is set that is set already: OBS tells others of each change. */
static void set_added(obs_source_t *source, int64_t added_ns)
{
	/* Whoever moved the offset meanwhile meant what is heard: what was added stays added. */
	const int64_t own_ns = obs_source_get_sync_offset(source) - added_ns_of(source);
	obs_data_t *kept = obs_source_get_private_settings(source);
	if (added_ns > 0) {
		obs_data_t *ours = obs_data_create();
		obs_data_set_int(ours, P_ADDED, added_ns);
		obs_data_set_obj(kept, P_SOUND, ours);
		obs_data_release(ours);
	} else {
		obs_data_erase(kept, P_SOUND);
	}
	obs_data_release(kept);
	if (obs_source_get_sync_offset(source) != own_ns + added_ns)
		obs_source_set_sync_offset(source, own_ns + added_ns);
}

static void let_go(struct filter *f)
{
	obs_weak_source_t *held = f->sound.held;
	obs_source_t *source = obs_weak_source_get_source(held);
	if (source)
		set_added(source, 0);
	obs_source_release(source);
	f->sound.held = NULL; /* from here on another may have it */
	obs_weak_source_release(held);
}

struct claim {
	const struct filter *mine;
	obs_weak_source_t *wanted;
	bool taken;
};

static void look_for_owner(struct filter *f, void *data)
{
	struct claim *claim = data;
	if (f != claim->mine && f->sound.held == claim->wanted)
		claim->taken = true;
}

/* Two filters must not both add to one source. */
static bool is_taken(const struct filter *f, obs_weak_source_t *source)
{
	struct claim claim = {.mine = f, .wanted = source};
	filters_each(NULL, look_for_owner, &claim);
	return claim.taken;
}

/* Whose sound is to be in step; NULL: nobody's. A reference. */
static obs_source_t *wanted_source(struct filter *f)
{
	obs_data_t *s = obs_source_get_settings(f->context);
	obs_source_t *source = NULL;
	const char *name = obs_data_get_string(s, S_SOUND_SOURCE);
	if (obs_data_get_bool(s, S_SOUND))
		source = name[0] ? obs_get_source_by_name(name)
				 : obs_source_get_ref(obs_filter_get_parent(f->context));
	obs_data_release(s);
	if (source && !(obs_source_get_output_flags(source) & OBS_SOURCE_AUDIO)) {
		obs_source_release(source);
		source = NULL;
	}
	return source;
}

/* ---- what nobody holds any more: OBS was closed, or ended badly, while the painted picture showed ---- */

struct leftovers {
	obs_weak_source_t *sources[8]; /* more go at the next look */
	size_t count;
};

/* OBS holds its own lock meanwhile: nothing else is done here. */
static bool collect_leftover(void *data, obs_source_t *source)
{
	struct leftovers *left = data;
	if (added_ns_of(source) != 0)
		left->sources[left->count++] = obs_source_get_weak_source(source);
	return left->count < sizeof(left->sources) / sizeof(*left->sources);
}

static void put_leftovers_back(void)
{
	struct leftovers left = {.count = 0};
	obs_enum_sources(collect_leftover, &left);
	for (size_t i = 0; i < left.count; i++) {
		obs_source_t *source = obs_weak_source_get_source(left.sources[i]);
		if (source && !is_taken(NULL, left.sources[i]))
			set_added(source, 0);
		obs_source_release(source);
		obs_weak_source_release(left.sources[i]);
	}
}

/* ---- one look ---- */

static void apply(struct filter *f)
{
	const uint64_t wanted_ns = atomic_load(&f->sound.wanted_ns);
	obs_source_t *source = wanted_ns > 0 ? wanted_source(f) : NULL;
	obs_weak_source_t *weak = source ? obs_source_get_weak_source(source) : NULL;
	if (weak != f->sound.held)
		let_go(f);
	if (weak && !f->sound.held && !is_taken(f, weak)) {
		obs_weak_source_addref(weak);
		f->sound.held = weak;
	}
	if (f->sound.held && source)
		set_added(source, added_ns_of(source) == 0 ? FIRST_NS : (int64_t)wanted_ns);
	obs_weak_source_release(weak);
	obs_source_release(source);
	put_leftovers_back();
}

static void apply_on_ui(void *data)
{
	obs_weak_source_t *weak = data;
	obs_source_t *filter = obs_weak_source_get_source(weak);
	struct filter *f = filter ? obs_obj_get_data(filter) : NULL;
	if (f) {
		atomic_store(&f->sound.looking, false);
		apply(f);
	}
	obs_source_release(filter);
	obs_weak_source_release(weak);
}

static void apply_soon(struct filter *f)
{
	if (atomic_exchange(&f->sound.looking, true))
		return;
	obs_weak_source_addref(f->weak);
	obs_queue_task(OBS_TASK_UI, apply_on_ui, f->weak, false);
}

void sound_settings_changed(struct filter *f)
{
	/* Nor while the filter is being created: on the UI thread, "soon" is now. */
	if (atomic_load(&f->sound.wanted_ns) > 0)
		apply_soon(f);
}

void sound_tick(struct filter *f, bool painted, uint64_t delay_ns, uint64_t now_ns)
{
	struct sound *sound = &f->sound;
	const bool is_other = sync_advance(&sound->sync, painted, delay_ns, now_ns);
	const bool is_idle = sound->sync.applied_ns == 0;
	/* A new filter does not look at once: if it paints soon, what was added can stay. */
	const bool is_due = sound->look_ns > 0 && now_ns >= sound->look_ns;
	if (is_other)
		atomic_store(&sound->wanted_ns, sound->sync.applied_ns);
	if (is_other || is_due)
		apply_soon(f);
	if (is_other || is_due || sound->look_ns == 0)
		sound->look_ns = now_ns + (is_idle ? IDLE_LOOKS_EVERY_NS : LOOKS_EVERY_NS);
}

void sound_release(struct filter *f)
{
	let_go(f);
}
