-- Takes back what an engine did not spend. ARGV: slice, amount. 1 if it is the chunk's, otherwise 0 and nothing changes.
if not holds(tonumber(ARGV[4])) then
  return {0}
end
add(tonumber(ARGV[5]))
redis.call('HSET', key, 'left', chunk.left, 'charged', chunk.charged)
return {1}
