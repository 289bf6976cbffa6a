-- Reads the chunk of the asker's window.
-- Returns the amount left, the slice, and the time of the last refill; an empty list if there is no such chunk.
-- A cut-off is harmless: the only write is that of load(), which deletes a chunk that is not handed out any more.
local function act()
  if not chunk or not in_window() then
    return {}
  end
  return {chunk.left, chunk.slice, chunk.turn}
end
