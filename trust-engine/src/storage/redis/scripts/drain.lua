-- Takes the whole chunk away, for the durable authority.
-- Returns kind, seconds, slice and rest of the chunk; an empty list if there is none.
-- A cut-off is harmless: the chunk is deleted before its rest is answered, so the rest goes back at most once. A rest
-- that is not answered stays charged.
local function act()
  if not chunk then
    return {}
  end
  redis.call('DEL', key)
  return {chunk.kind, chunk.seconds, chunk.slice, chunk.left}
end
