-- Writes accounts under KEYS unless one has changed. ARGV for each: bytes before or '', bytes after, milliseconds to live.
for place, key in ipairs(KEYS) do
  if (redis.call('GET', key) or '') ~= ARGV[3 * place - 2] then
    return '0'
  end
end
for place, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[3 * place - 1], 'PX', ARGV[3 * place])
end
return '1'
