/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For tests only: a camera. An async video source that plays a file of raw I420 frames in a loop at a
 * fixed rate from a thread of its own, as a webcam's driver would. Without a file it shows one grey. Another
 * kind of it has a microphone too, which hears a tone while the picture is bright, and silence else.
 */
#include <math.h>
#include <obs-module.h>
#include <stdio.h>
#include <util/platform.h>
#include <util/threading.h>

OBS_DECLARE_MODULE()

#define S_WIDTH "width"
#define S_HEIGHT "height"
#define S_FPS "fps"
#define S_FILE "raw_file"
#define SAMPLES_PER_S 48000
#define TONE_HZ 1000
#define BRIGHT 128
#define NS_PER_S 1000000000ULL

struct camera {
	obs_source_t *source;
	pthread_t thread;
	bool running;
	os_event_t *stop;

	uint32_t width, height, fps;
	char *path;
	bool hears;
	uint64_t samples; /* heard so far */
};

static size_t frame_bytes(const struct camera *camera)
{
	return (size_t)camera->width * camera->height * 3 / 2;
}

/* Fills `pixels` with the next frame; at the end of the file it begins again. */
static bool next_frame(FILE *file, uint8_t *pixels, size_t size)
{
	if (fread(pixels, 1, size, file) == size)
		return true;
	rewind(file);
	return fread(pixels, 1, size, file) == size;
}

static void show(struct camera *camera, uint8_t *pixels, uint64_t timestamp_ns)
{
	const size_t luma = (size_t)camera->width * camera->height;
	struct obs_source_frame frame = {
		.width = camera->width,
		.height = camera->height,
		.format = VIDEO_FORMAT_I420,
		.timestamp = timestamp_ns,
		.data = {pixels, pixels + luma, pixels + luma + luma / 4},
		.linesize = {camera->width, camera->width / 2, camera->width / 2},
	};
	video_format_get_parameters(VIDEO_CS_709, VIDEO_RANGE_PARTIAL, frame.color_matrix,
		frame.color_range_min, frame.color_range_max);
	obs_source_output_video(camera->source, &frame);
}

/* What belongs to one frame. Its last sample lies right before the first of the next frame. */
static void hear(struct camera *camera, const uint8_t *pixels, uint64_t timestamp_ns)
{
	static const double turn = 6.283185307179586;
	float samples[SAMPLES_PER_S / 10];
	const uint32_t count = SAMPLES_PER_S / camera->fps;
	const bool bright = pixels[0] > BRIGHT;
	for (uint32_t i = 0; i < count && i < SAMPLES_PER_S / 10; i++, camera->samples++)
		samples[i] =
			bright ? (float)(0.5 * sin(turn * TONE_HZ * (double)camera->samples / SAMPLES_PER_S))
			       : 0;
	const struct obs_source_audio audio = {
		.data = {(const uint8_t *)samples},
		.frames = count,
		.speakers = SPEAKERS_MONO,
		.format = AUDIO_FORMAT_FLOAT,
		.samples_per_sec = SAMPLES_PER_S,
		.timestamp = timestamp_ns,
	};
	obs_source_output_audio(camera->source, &audio);
}

static void *play(void *data)
{
	struct camera *camera = data;
	const size_t size = frame_bytes(camera);
	const uint64_t period_ns = NS_PER_S / camera->fps;
	uint64_t due_ns = os_gettime_ns();
	FILE *file = *camera->path ? os_fopen(camera->path, "rb") : NULL;
	uint8_t *pixels = bmalloc(size);

	os_set_thread_name("test_camera");
	memset(pixels, 128, size);
	if (*camera->path && !file)
		blog(LOG_ERROR, "[test_camera] cannot open %s", camera->path);

	while (os_event_try(camera->stop) == EAGAIN) {
		if (file && !next_frame(file, pixels, size)) {
			blog(LOG_ERROR, "[test_camera] %s holds no frame of %zu bytes", camera->path, size);
			break;
		}
		show(camera, pixels, due_ns);
		if (camera->hears)
			hear(camera, pixels, due_ns);
		due_ns += period_ns;
		os_sleepto_ns(due_ns);
	}

	obs_source_output_video(camera->source, NULL);
	bfree(pixels);
	if (file)
		fclose(file);
	return NULL;
}

static void halt(struct camera *camera)
{
	if (camera->running) {
		os_event_signal(camera->stop);
		pthread_join(camera->thread, NULL);
		camera->running = false;
	}
	os_event_reset(camera->stop);
	bfree(camera->path);
	camera->path = NULL;
}

static void camera_update(void *data, obs_data_t *settings)
{
	struct camera *camera = data;

	halt(camera);
	camera->width = (uint32_t)obs_data_get_int(settings, S_WIDTH);
	camera->height = (uint32_t)obs_data_get_int(settings, S_HEIGHT);
	camera->fps = (uint32_t)obs_data_get_int(settings, S_FPS);
	camera->path = bstrdup(obs_data_get_string(settings, S_FILE));
	camera->hears = (obs_source_get_output_flags(camera->source) & OBS_SOURCE_AUDIO) != 0;
	camera->running = pthread_create(&camera->thread, NULL, play, camera) == 0;
}

static void *camera_create(obs_data_t *settings, obs_source_t *source)
{
	struct camera *camera = bzalloc(sizeof(*camera));

	camera->source = source;
	if (os_event_init(&camera->stop, OS_EVENT_TYPE_MANUAL) != 0) {
		bfree(camera);
		return NULL;
	}
	obs_source_set_async_unbuffered(source, true);
	camera_update(camera, settings);
	return camera;
}

static void camera_destroy(void *data)
{
	struct camera *camera = data;

	halt(camera);
	os_event_destroy(camera->stop);
	bfree(camera);
}

static void camera_defaults(obs_data_t *settings)
{
	obs_data_set_default_int(settings, S_WIDTH, 640);
	obs_data_set_default_int(settings, S_HEIGHT, 360);
	obs_data_set_default_int(settings, S_FPS, 30);
	obs_data_set_default_string(settings, S_FILE, "");
}

static const char *camera_name(void *unused)
{
	UNUSED_PARAMETER(unused);
	return "Test camera";
}

static struct obs_source_info camera_info = {
	.id = "test_camera",
	.type = OBS_SOURCE_TYPE_INPUT,
	.output_flags = OBS_SOURCE_ASYNC_VIDEO,
	.get_name = camera_name,
	.create = camera_create,
	.destroy = camera_destroy,
	.update = camera_update,
	.get_defaults = camera_defaults,
};

bool obs_module_load(void)
{
	struct obs_source_info with_sound = camera_info;
	with_sound.id = "test_camera_with_sound";
	with_sound.output_flags |= OBS_SOURCE_AUDIO;
	obs_register_source(&camera_info);
	obs_register_source(&with_sound);
	return true;
}
