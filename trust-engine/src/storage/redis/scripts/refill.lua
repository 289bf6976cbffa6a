-- Adds a grant of the durable authority and hands out the asker's part of it.
-- ARGV: need, spare, limit; slice and amount of the grant, what is charged with it, when it ends, milliseconds to keep it.
-- Granted as by a take. Refused: 0, 0, 0, and of a chunk that is over as a take says it.
local need, spare, limit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local slice, amount, charged, ends = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local over = chunk
if now >= ends or (chunk and now < chunk.seen) or (chunk and chunk.slice > slice and holds(chunk.slice)) then
  return {0, 0, 0}
end
if holds(slice) then
  over = nil
  chunk.left = chunk.left + amount
  chunk.charged = math.max(chunk.charged, charged)
  chunk.ends = math.max(chunk.ends, ends)
else
  chunk = {slice = slice, left = amount, charged = charged, ends = ends}
end
redis.call('HSET', key, 'run', run, 'kind', kind, 'seconds', seconds, 'slice', slice, 'charged', chunk.charged,
  'ends', chunk.ends, 'turn', now)
redis.call('PEXPIRE', key, ARGV[11])
local granted = hand_out(need, spare, limit)
granted[6] = 0
if over then
  granted[7], granted[8], granted[9], granted[10] = over.kind, over.seconds, over.slice, over.left
end
return granted
