-- Writes the accounts under KEYS, for counters in Redis alone, unless one of them has changed.
-- ARGV for each: bytes before or '', bytes after, milliseconds to live.
-- Returns '1' if all are written, and '0' if one has changed and none is written: all are compared before the first
-- write.
-- A cut-off is harmless: each account is written by one command. The round of an error grants nothing and gives back
-- nothing a second time, so an account that is written has charges without a grant at most.
for place, key in ipairs(KEYS) do
  if (redis.call('GET', key) or '') ~= ARGV[3 * place - 2] then
    return '0'
  end
end
for place, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[3 * place - 1], 'PX', ARGV[3 * place])
end
return '1'
