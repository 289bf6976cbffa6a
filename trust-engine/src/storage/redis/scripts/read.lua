-- The server's time and the accounts under KEYS; '' for those that are not there.
local time = redis.call('TIME')
local answer = {time[1], time[2]}
for place, key in ipairs(KEYS) do
  answer[place + 2] = redis.call('GET', key) or ''
end
return answer
