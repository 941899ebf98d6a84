-- For wrk: sends one prepared request again and again, and prints one line of JSON at the end.
-- wrk ... -s requests.lua URL -- BODY_FILE HEADER VALUE [HEADER VALUE ...]

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  local headers = {}
  for i = 2, #args, 2 do
    headers[args[i]] = args[i + 1]
  end
  prepared = wrk.format("POST", wrk.path, headers, body)
end

function request()
  return prepared
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
