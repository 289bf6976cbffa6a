-- The end of the scripts that begin with chunk.lua: runs act() for each key in order, and returns the list of its
-- answers.
-- A cut-off leaves the keys before it done and the keys after it as they were; for the key at it, see the script that
-- defines act().
local width = (#ARGV - 1) / #KEYS
local answers = {}
for place = 1, #KEYS do
  local before = 1 + (place - 1) * width
  key, kind, seconds, arguments = KEYS[place], tonumber(ARGV[before + 1]), tonumber(ARGV[before + 2]), before + 2
  chunk = load()
  answers[place] = act()
end
return answers
