-- Reads the accounts under KEYS, for counters in Redis alone.
-- Returns the server's time in seconds and microseconds, and then the accounts; '' for an account that is not there.
-- A cut-off is harmless: nothing is written.
local time = redis.call('TIME')
local answer = {time[1], time[2]}
for place, key in ipairs(KEYS) do
  answer[place + 2] = redis.call('GET', key) or ''
end
return answer
