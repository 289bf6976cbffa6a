-- What is left of the asker's window, its slice, and when it was last refilled; nothing if there is none.
local function act()
  if not chunk or not in_window() then
    return {}
  end
  return {chunk.left, chunk.slice, chunk.turn}
end
