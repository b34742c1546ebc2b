-- One request, built once.
wrk.method = os.getenv("BENCH_METHOD")
wrk.headers["Authorization"] = "Bearer test-api-key"
wrk.headers["Content-Type"] = "application/json"
if wrk.method == "POST" then
    wrk.body = os.getenv("BENCH_BODY")
end

dofile(os.getenv("BENCH_REPORT"))
