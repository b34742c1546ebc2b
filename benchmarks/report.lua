-- What wrk has counted, printed as JSON for peers/wrk.py.
function done(summary, latency, requests)
    local errors = summary.errors
    local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('\n{"requests": %d, "seconds": %f, "bytes": %d, "failures": %d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, failures))
end
