-- Takes back the amount that the asker has not spent, and hands out the amount that it needs. Deletes a chunk that is
-- over.
-- Arguments: need, spare, limit; slice and amount of the unspent amount, or ''.
-- Returns first 1 if the unspent amount belongs to the chunk, otherwise 0; then
-- granted: 1, amount, the amount that is used then, slice, microseconds that the amount is valid;
-- short: 0, time, the amount left; and of a chunk that is over its kind, seconds, slice and rest.
-- A cut-off is harmless: the unspent amount is written first, and the engine gives it back nowhere else then; an amount
-- that is handed out, or the rest of a chunk that is over, leaves the chunk before it is answered, and stays charged if
-- it is not.
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
  local granted = {taken_back, 1, hand_out(need, spare, limit)}
  redis.call('HSET', key, 'left', chunk.left, 'charged', chunk.charged, 'seen', now)
  return granted
end
