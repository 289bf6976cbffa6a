#!lua
-- The beginning of the scripts take, refill, give, drain and peek. The line above lets the server refuse a script
-- before it begins, where it could not write.
--
-- Each of KEYS holds a counter's chunk, a part of a grant of the durable authority. ARGV: time in microseconds or ''
-- for the server's own; then for each key kind and seconds of the window that the asker counts in, and the script's own
-- arguments. The answer is a list for each key. Amounts are below 2^40 and times below 2^53, so numbers are exact.
--
-- A script that an error cuts off keeps the writes before the error and gives no answer. The engine then takes every
-- call in it as one that may have run, and repeats none.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
-- Another server, this one after a restart, or a replica that was promoted has another id: a chunk that it finds here
-- may have been handed out elsewhere, so the chunk is forfeited. A replica has its primary's id, and hands out nothing.
local replication = redis.call('INFO', 'replication')
if not string.find(replication, 'role:master', 1, true) then
  return redis.error_reply('READONLY this server is a replica')
end
local run = string.match(replication, 'master_replid:(%w+)')

-- The current key, the asker's window, the place before its arguments, and the chunk if there is one.
local key, kind, seconds, arguments, chunk

-- Reads the chunk of the current key; nil if there is none. Deletes one that is forfeited or not whole.
local function load()
  local stored = redis.call('HMGET', key, 'run', 'kind', 'seconds', 'slice', 'left', 'charged', 'ends', 'seen', 'turn')
  -- A chunk that lacks one of these fields is none.
  local whole = stored[4] and stored[5] and stored[6] and stored[7] and stored[8] and stored[9]
  if whole and stored[1] == run then
    return {
      kind = tonumber(stored[2]), seconds = tonumber(stored[3]), slice = tonumber(stored[4]),
      left = tonumber(stored[5]), charged = tonumber(stored[6]),
      ends = tonumber(stored[7]), seen = tonumber(stored[8]), turn = tonumber(stored[9]),
    }
  end
  if stored[1] then
    redis.call('DEL', key)
  end
end

-- One of the script's own arguments; nil for ''.
local function number(place)
  return tonumber(ARGV[arguments + place])
end

-- Whether the chunk is counted in the asker's window.
local function in_window()
  return chunk.kind == kind and chunk.seconds == seconds
end

-- Whether an amount of a slice of the asker's window belongs to the chunk.
local function holds(slice)
  return chunk and in_window() and chunk.slice == slice
end

-- Adds an amount to the chunk. Charges that went around the chunk are not known here: if more is left than is known to
-- be charged, the charge is raised to it, and no amount counts as used.
local function add(amount)
  chunk.left = chunk.left + amount
  chunk.charged = math.max(chunk.charged, chunk.left)
end

-- Takes the needed amount from the chunk, and of the spare at most an eighth of the room that is left below the limit.
-- The caller writes the chunk before it answers. Returns the amount, the amount that is used then, the slice, and
-- microseconds that the amount is valid.
local function hand_out(need, spare, limit)
  local room = limit - (chunk.charged - chunk.left) - need
  local amount = need + math.max(0, math.min(spare, math.floor(room / 8), chunk.left - need))
  chunk.left = chunk.left - amount
  return amount, chunk.charged - chunk.left, chunk.slice, chunk.ends - now
end
