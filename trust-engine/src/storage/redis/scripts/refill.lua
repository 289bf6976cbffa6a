-- Adds a grant of the durable authority and hands out the asker's part of it.
-- Need, spare, limit; slice and amount of the grant, what is charged with it, the time before it was asked for, when it
-- ends, milliseconds to keep it.
-- Granted: 1, amount, what is used then, slice, microseconds that it is valid; and of a chunk that is over as a take says it.
-- Refused: 0.
local function act()
  local need, spare, limit = number(1), number(2), number(3)
  local slice, amount, charged = number(4), number(5), number(6)
  local asked, ends = number(7), number(8)
  if now < asked or now >= ends or (chunk and (now < chunk.seen or (in_window() and chunk.slice > slice))) then
    return {0}
  end
  local over
  if holds(slice) then
    chunk.charged = math.max(chunk.charged, charged)
    add(amount)
    chunk.ends = math.max(chunk.ends, ends)
  else
    over = chunk
    chunk = {slice = slice, left = amount, charged = charged, ends = ends}
  end
  redis.call('HSET', key, 'run', run, 'kind', kind, 'seconds', seconds, 'slice', slice, 'ends', chunk.ends, 'turn', now,
    'left', chunk.left, 'charged', chunk.charged, 'seen', now)
  redis.call('PEXPIRE', key, number(9))
  local granted = {1, hand_out(need, spare, limit)}
  if over then
    granted[6], granted[7], granted[8], granted[9] = over.kind, over.seconds, over.slice, over.left
  end
  return granted
end
