-- One request, built once; the totals are printed as JSON for peers/wrk.py.
wrk.method = os.getenv("BENCH_METHOD")
wrk.headers["Authorization"] = "Bearer test-api-key"
wrk.headers["Content-Type"] = "application/json"
if wrk.method == "POST" then
    wrk.body = os.getenv("BENCH_BODY")
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('\n{"requests": %d, "seconds": %f, "bytes": %d, "failures": %d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, failures))
end
