-- ARGV: need, spare, limit; slice and amount of what the asker has not spent, or ''.
-- Granted: 1, amount, what is used then, slice, microseconds that it is valid, whether the unspent amount is not the chunk's.
-- Short: 0, time, whether the unspent amount is not the chunk's, and of a chunk that is over: kind, seconds, slice, rest.
local need, spare, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local strange = 0
if ARGV[7] ~= '' then
  if holds(tonumber(ARGV[7])) then
    chunk.left = chunk.left + tonumber(ARGV[8])
    redis.call('HSET', key, 'left', chunk.left)
  else
    strange = 1
  end
end
if not chunk or now < chunk.seen then
  return {0, now, strange}
end
if not holds(chunk.slice) or now >= chunk.ends then
  redis.call('DEL', key)
  return {0, now, strange, chunk.kind, chunk.seconds, chunk.slice, chunk.left}
end
if math.min(chunk.left, limit - (chunk.charged - chunk.left)) < need then
  return {0, now, strange}
end
local granted = hand_out(need, spare, limit)
granted[6] = strange
return granted
