-- Takes the whole chunk away, for the durable authority. Kind, seconds, slice, rest; nothing if there is none.
local function act()
  if not chunk then
    return {}
  end
  redis.call('DEL', key)
  return {chunk.kind, chunk.seconds, chunk.slice, chunk.left}
end
