-- Need, spare, limit; slice and amount of what the asker has not spent, or ''.
-- First whether what was not spent is the chunk's now, then
-- granted: 1, amount, what is used then, slice, microseconds that it is valid;
-- short: 0, time, what is left; and of a chunk that is over its kind, seconds, slice and rest.
local function act()
  local need, spare, limit = number(1), number(2), number(3)
  local taken_back = 0
  local slice, unspent = number(4), number(5)
  if slice and holds(slice) then
    taken_back = 1
    add(unspent)
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
end
