-- Takes back what an engine did not spend. ARGV: slice, amount. 1 if it is the chunk's, otherwise 0 and nothing changes.
if not holds(tonumber(ARGV[4])) then
  return {0}
end
redis.call('HSET', key, 'left', chunk.left + tonumber(ARGV[5]))
return {1}
