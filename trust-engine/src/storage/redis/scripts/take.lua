-- ARGV: need, spare, limit; slice and amount of what the asker has not spent, or ''.
-- First whether what was not spent is the chunk's now, then
-- granted: 1, amount, what is used then, slice, microseconds that it is valid;
-- short: 0, time, what is left; and of a chunk that is over its kind, seconds, slice and rest.
local need, spare, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local taken_back = 0
if ARGV[7] ~= '' and holds(tonumber(ARGV[7])) then
  taken_back = 1
  add(tonumber(ARGV[8]))
  redis.call('HSET', key, 'left', chunk.left, 'charged', chunk.charged)
end
if not chunk or now < chunk.seen then
  return {taken_back, 0, now, 0}
end
if not in_window() or now >= chunk.ends then
  redis.call('DEL', key)
  return {taken_back, 0, now, 0, chunk.kind, chunk.seconds, chunk.slice, chunk.left}
end
if math.min(chunk.left, limit - (chunk.charged - chunk.left)) < need then
  return {taken_back, 0, now, chunk.left}
end
return {taken_back, 1, hand_out(need, spare, limit)}
