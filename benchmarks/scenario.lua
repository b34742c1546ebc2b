-- Every connection's agent registers, then the agents update their states in turn: id, time and
-- state differ from request to request. wrk doesn't tell a script which connection it asks for, so
-- that an agent has no connection of its own.
--
-- The text is put together here rather than by wrk.format, which costs several times as much.
local ffi = require("ffi")
ffi.cdef [[
struct bench_timespec { long tv_sec; long tv_nsec; };
int clock_gettime(int clock, struct bench_timespec *now);
]]
local now = ffi.new("struct bench_timespec")
local CLOCK_REALTIME = 0

local agents = tonumber(os.getenv("BENCH_USERS"))
local states = { "idle", "active" }
local ids, paths, registrations = {}, {}, {}
-- The first request of all is never sent: wrk makes it to look at it.
local sent, agent, second, date = -1, 0, nil, nil
local headers

local function post(path, body)
    return "POST " .. path .. headers .. #body .. "\r\n\r\n" .. body
end

local function timestamp()
    ffi.C.clock_gettime(CLOCK_REALTIME, now)
    local seconds = tonumber(now.tv_sec)
    if seconds ~= second then
        second, date = seconds, os.date("!%Y-%m-%dT%H:%M:%S", seconds)
    end
    return string.format("%s.%06d+00:00", date, tonumber(now.tv_nsec) / 1000)
end

function init(args)
    headers = " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
        .. "\r\nAuthorization: Bearer test-api-key\r\nContent-Type: application/json"
        .. "\r\nContent-Length: "
    math.randomseed(os.time())
    for i = 1, agents do
        ids[i] = string.format("agent-%08x-0000-4000-8000-%012x", math.random(0, 0x7fffffff), i)
        paths[i] = "/v1/opscore/agent/" .. ids[i] .. "/state"
        registrations[i] = post("/v1/opscore/internal/agent/notify", '{"event_type": "REGISTER",'
            .. ' "agent_details": {"agentId": "' .. ids[i] .. '", "agentName": "bench",'
            .. ' "version": "1.0", "contactEndpoint": "http://127.0.0.1:9",'
            .. ' "capabilities": [], "metadata": {}}}')
    end
end

function request()
    sent = sent + 1
    if sent <= agents then
        return registrations[math.max(sent, 1)]
    end
    agent = agent % agents + 1
    return post(paths[agent], '{"agentId": "' .. ids[agent] .. '", "timestamp": "' .. timestamp()
        .. '", "state": "' .. states[math.random(2)] .. '"}')
end

dofile(os.getenv("BENCH_REPORT"))
