-- Takes back what an engine did not spend. Slice, amount. 1 if it is the chunk's, otherwise 0 and nothing changes.
local function act()
  if not holds(number(1)) then
    return {0}
  end
  add(number(2))
  redis.call('HSET', key, 'left', chunk.left, 'charged', chunk.charged)
  return {1}
end
