/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "websocket.h"

struct websocket_vendor {
	proc_handler_t *procedures;
	void *handle;
};

static struct websocket_vendor only;

/* Call a procedure of obs-websocket; it says in `success` whether it did what it should. */
static bool call(proc_handler_t *procedures, const char *name, calldata_t *arguments)
{
	return proc_handler_call(procedures, name, arguments) && calldata_bool(arguments, "success");
}

struct websocket_vendor *websocket_register_vendor(const char *name)
{
	calldata_t arguments = {0};
	void *procedures = NULL;
	if (!proc_handler_call(obs_get_proc_handler(), "obs_websocket_api_get_ph", &arguments) ||
		!calldata_get_ptr(&arguments, "ph", &procedures) || !procedures)
		goto done;
	only.procedures = procedures;
	calldata_set_string(&arguments, "name", name);
	if (call(only.procedures, "vendor_register", &arguments))
		only.handle = calldata_ptr(&arguments, "vendor");
done:
	calldata_free(&arguments);
	return only.handle ? &only : NULL;
}

bool websocket_register_request(
	struct websocket_vendor *vendor, const char *type, websocket_request request, void *data)
{
	struct {
		websocket_request request;
		void *data;
	} callback = {request, data}; /* obs-websocket takes a copy */
	calldata_t arguments = {0};
	calldata_set_ptr(&arguments, "vendor", vendor->handle);
	calldata_set_string(&arguments, "type", type);
	calldata_set_ptr(&arguments, "callback", &callback);
	const bool done = call(vendor->procedures, "vendor_request_register", &arguments);
	calldata_free(&arguments);
	return done;
}

void websocket_emit(struct websocket_vendor *vendor, const char *type, obs_data_t *data)
{
	calldata_t arguments = {0};
	calldata_set_ptr(&arguments, "vendor", vendor->handle);
	calldata_set_string(&arguments, "type", type);
	calldata_set_ptr(&arguments, "data", data);
	if (!call(vendor->procedures, "vendor_event_emit", &arguments))
		blog(LOG_WARNING, "[limner] obs-websocket did not take the event %s", type);
	calldata_free(&arguments);
}
