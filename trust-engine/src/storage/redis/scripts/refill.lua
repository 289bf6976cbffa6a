-- Adds a grant of the durable authority to the chunk, or begins a new chunk with it, and hands out the asker's part.
-- Arguments: need, spare, limit; slice and amount of the grant, the amount charged with it, the time before it was
-- asked for, the time at which it ends, milliseconds to keep the chunk.
-- Returns, if the grant is added: 1, amount, the amount that is used then, slice, microseconds that the amount is
-- valid; and of a chunk that is over its kind, seconds, slice and rest. Returns 0 if the grant is refused; it then adds
-- nothing.
-- A cut-off is harmless: the chunk is written by one command, without the asker's part, so that part is never there to
-- be handed out again. A chunk whose expiry could not be set is over at its end all the same.
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
  local granted = {1, hand_out(need, spare, limit)}
  redis.call('HSET', key, 'run', run, 'kind', kind, 'seconds', seconds, 'slice', slice, 'ends', chunk.ends, 'turn', now,
    'left', chunk.left, 'charged', chunk.charged, 'seen', now)
  redis.call('PEXPIRE', key, number(9))
  if over then
    granted[6], granted[7], granted[8], granted[9] = over.kind, over.seconds, over.slice, over.left
  end
  return granted
end
