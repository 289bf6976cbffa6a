-- Takes back an amount that an engine did not spend. Arguments: slice, amount.
-- Returns 1 if the amount belongs to the chunk, otherwise 0, and the chunk stays as it is.
-- A cut-off is harmless: the chunk is written once, so the amount is back or not. The engine then gives it back nowhere
-- else, so an amount that is not back stays charged.
local function act()
  if not holds(number(1)) then
    return {0}
  end
  add(number(2))
  redis.call('HSET', key, 'left', chunk.left, 'charged', chunk.charged)
  return {1}
end
