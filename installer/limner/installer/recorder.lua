-- Runs inside OBS during an unseen first run, because OBS has no other way in that opens no port:
-- writes OBS's own frame counters beside itself, and ends the recording when the file "stop" appears there.
-- (An OBS 29 that is closed while it records sometimes crashes and leaves the recording unfinished.)
obs = obslua

local PERIOD_MS = 100
local folder = script_path()

local function exists(path)
    local file = io.open(path, "r")
    if file then
        file:close()
    end
    return file ~= nil
end

local function write(path, text)
    local file = io.open(path .. ".part", "w")
    if file then
        file:write(text)
        file:close()
        os.rename(path .. ".part", path)
    end
end

local function tick()
    local recording = obs.obs_frontend_recording_active()
    write(
        folder .. "obs-counters.json",
        string.format(
            '{"frames": %d, "lagged": %d, "recording": %s}\n',
            obs.obs_get_total_frames(),
            obs.obs_get_lagged_frames(),
            tostring(recording)
        )
    )
    if recording and exists(folder .. "stop") then
        os.remove(folder .. "stop")
        obs.obs_frontend_recording_stop()
    end
end

function script_description()
    return "Limner's first run: counts frames and ends the recording."
end

function script_load(settings)
    obs.timer_add(tick, PERIOD_MS)
end
