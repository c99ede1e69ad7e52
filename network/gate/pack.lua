-- The commits and tags at the start of a git pack, and inflate, which git compresses objects with. Loaded by the gate before push.lua.
-- Sources: RFC 1950, RFC 1951; gitformat-pack(5); git-commit-tree(1).
--
-- Nothing here checks a pack: GitHub does. A commit's id is the hash of its text, so the parents that are found here are those
-- of the commit with this id, whatever else the pack contains.

Pack = {}

local MAX_COMMIT = 262144 -- bytes of one commit, of which most are its message
local MAX_TOTAL = 2097152 -- bytes of all objects that are inflated

-- --- inflate ---

local LENGTH = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 }
local LENGTH_BITS = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 }
local DISTANCE = {
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289,
  16385, 24577,
}
local DISTANCE_BITS = { 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13 }
local ORDER = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 }

-- Ends the reading of a pack: the rest is malformed, or not in the buffer.
local ENDS = {}
local function ends() error(ENDS, 0) end

-- Returns a canonical Huffman code as the count of codes of each length, and the symbols in order of their codes.
local function code(lengths, first, last)
  local counts, offsets, symbols = {}, {}, {}
  for length = 0, 15 do counts[length] = 0 end
  for symbol = first, last do counts[lengths[symbol]] = counts[lengths[symbol]] + 1 end
  local left = 1
  for length = 1, 15 do
    left = left * 2 - counts[length]
    if left < 0 then ends() end
  end
  offsets[1] = 0
  for length = 1, 14 do offsets[length + 1] = offsets[length] + counts[length] end
  for symbol = first, last do
    local length = lengths[symbol]
    if length > 0 then
      symbols[offsets[length]] = symbol - first
      offsets[length] = offsets[length] + 1
    end
  end
  return { counts = counts, symbols = symbols }
end

local function fixed()
  local lengths = {}
  for symbol = 0, 287 do lengths[symbol] = symbol < 144 and 8 or symbol < 256 and 9 or symbol < 280 and 7 or 8 end
  local distances = {}
  for symbol = 0, 29 do distances[symbol] = 5 end
  return code(lengths, 0, 287), code(distances, 0, 29)
end

local FIXED, FIXED_DISTANCES = fixed()

-- Inflates the zlib stream at a position of a text. Returns the result and the position after the stream. `size` is its size.
local function inflate(text, at, size)
  local method, flags = text:byte(at, at + 1)
  if not flags or method % 16 ~= 8 or (method * 256 + flags) % 31 ~= 0 or flags & 32 ~= 0 then ends() end
  at = at + 2
  local hold, held = 0, 0
  local function bits(count)
    while held < count do
      local byte = text:byte(at) or ends()
      hold, held, at = hold | byte << held, held + 8, at + 1
    end
    local value = hold & ((1 << count) - 1)
    hold, held = hold >> count, held - count
    return value
  end
  local function symbol_of(huffman)
    local value, first, index = 0, 0, 0
    for length = 1, 15 do
      value = value | bits(1)
      local count = huffman.counts[length]
      if value - count < first then return huffman.symbols[index + value - first] end
      index, first = index + count, (first + count) << 1
      value = value << 1
    end
    ends()
  end
  local function tables()
    local literals, distances, used = bits(5) + 257, bits(5) + 1, bits(4) + 4
    if literals > 286 or distances > 30 then ends() end
    local lengths = {}
    for index = 0, 18 do lengths[index] = 0 end
    for index = 1, used do lengths[ORDER[index]] = bits(3) end
    local inner, index = code(lengths, 0, 18), 0
    lengths = {}
    while index < literals + distances do
      local symbol, value, times = symbol_of(inner), 0, 1
      if symbol == nil then ends() end
      if symbol < 16 then
        value = symbol
      elseif symbol == 16 then
        value, times = lengths[index - 1] or ends(), 3 + bits(2)
      else
        times = symbol == 17 and 3 + bits(3) or 11 + bits(7)
      end
      if index + times > literals + distances then ends() end
      for _ = 1, times do lengths[index], index = value, index + 1 end
    end
    return code(lengths, 0, literals - 1), code(lengths, literals, literals + distances - 1)
  end
  local out, count = {}, 0
  local last
  repeat
    last = bits(1)
    local kind = bits(2)
    if kind == 0 then
      hold, held = 0, 0
      local low, high, low_check, high_check = text:byte(at, at + 3)
      if not high_check or low ~= low_check ~ 255 or high ~= high_check ~ 255 then ends() end
      local length = high * 256 + low
      if count + length > size or at + 3 + length > #text then ends() end
      for index = at + 4, at + 3 + length do count, out[count + 1] = count + 1, text:byte(index) end
      at = at + 4 + length
    elseif kind < 3 then
      local huffman, distances = FIXED, FIXED_DISTANCES
      if kind == 2 then huffman, distances = tables() end
      while true do
        local symbol = symbol_of(huffman) or ends()
        if symbol == 256 then break end
        if symbol < 256 then
          if count >= size then ends() end
          count = count + 1
          out[count] = symbol
        else
          local length = (LENGTH[symbol - 256] or ends()) + bits(LENGTH_BITS[symbol - 256])
          local which = (symbol_of(distances) or ends()) + 1
          local distance = (DISTANCE[which] or ends()) + bits(DISTANCE_BITS[which])
          if distance > count or count + length > size then ends() end
          for _ = 1, length do
            count = count + 1
            out[count] = out[count - distance]
          end
        end
      end
    else
      ends()
    end
  until last == 1
  if count ~= size or at + 3 > #text then ends() end
  local parts = {}
  for from = 1, count, 4096 do parts[#parts + 1] = string.char(table.unpack(out, from, math.min(from + 4095, count))) end
  return table.concat(parts), at + 4 -- the checksum
end

-- --- objects ---

local COMMIT, TAG, BY_OFFSET, BY_ID = 1, 4, 6, 7

-- Reads a number of 7 bits per byte, lowest first. Returns it and the position after it.
local function number_at(text, at, value, shift)
  while true do
    local byte = text:byte(at) or ends()
    value, at = value | (byte & 127) << shift, at + 1
    if byte < 128 then return value, at end
    shift = shift + 7
    if shift > 35 then ends() end
  end
end

-- Applies a delta to the object that it is based on.
local function patched(base, delta)
  local from, at = number_at(delta, 1, 0, 0)
  local size
  size, at = number_at(delta, at, 0, 0)
  if from ~= #base or size > MAX_COMMIT then ends() end
  local parts, done = {}, 0
  while at <= #delta do
    local byte = delta:byte(at)
    at = at + 1
    local piece
    if byte & 128 ~= 0 then
      local offset, length = 0, 0
      for bit = 0, 6 do
        if byte & 1 << bit ~= 0 then
          local value = delta:byte(at) or ends()
          at = at + 1
          if bit < 4 then offset = offset | value << 8 * bit else length = length | value << 8 * (bit - 4) end
        end
      end
      if length == 0 then length = 65536 end
      piece = base:sub(offset + 1, offset + length)
      if #piece ~= length then ends() end
    else
      piece = delta:sub(at, at + byte - 1)
      if byte == 0 or #piece ~= byte then ends() end
      at = at + byte
    end
    parts[#parts + 1], done = piece, done + #piece
    if done > size then ends() end
  end
  if done ~= size then ends() end
  return table.concat(parts)
end

local function hex(text) return (text:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)) end

-- Returns the ids of a commit's parents, which git reads only from the lines after the first.
local function parents_of(commit)
  local found, at = {}, select(2, commit:find("^tree %x+\n"))
  if not at then return found end
  while true do
    local from, to, id = commit:find("^parent (%x+)\n", at + 1)
    if not from then return found end
    found[#found + 1], at = id, to
  end
end

local function read(text, at, objects, sha1)
  if text:sub(at, at + 3) ~= "PACK" or #text < at + 11 then ends() end
  local by_position, total = {}, 0
  at = at + 12
  while true do
    local begins, byte = at, text:byte(at) or ends()
    local kind, size = byte >> 4 & 7, byte & 15
    at = at + 1
    if byte >= 128 then size, at = number_at(text, at, size, 4) end
    total = total + size
    if size > MAX_COMMIT or total > MAX_TOTAL then ends() end
    local base
    if kind == BY_OFFSET then
      local distance
      byte, at = text:byte(at) or ends(), at + 1
      distance = byte & 127
      while byte >= 128 do
        byte, at = text:byte(at) or ends(), at + 1
        distance = (distance + 1) << 7 | byte & 127
        if distance > #text then ends() end
      end
      base = by_position[begins - distance] or ends()
    elseif kind == BY_ID then
      base = objects[hex(text:sub(at, at + 19))] or ends()
      at = at + 20
    elseif kind ~= COMMIT and kind ~= TAG then
      ends() -- git writes commits before trees and files
    end
    local content
    content, at = inflate(text, at, size)
    if base then kind, content = base.kind, patched(base.text, content) end
    local name = kind == TAG and "tag" or "commit"
    local object = { kind = kind, text = content }
    if kind == COMMIT then object.parents = parents_of(content) end
    by_position[begins], objects[hex(sha1(("%s %d\0"):format(name, #content) .. content))] = object, object
  end
end

-- Returns the commits and tags at the start of a pack by their id: { kind, text }, and the `parents` of a commit. `sha1` returns a hash in
-- binary.
function Pack.objects(text, at, sha1)
  local objects = {}
  local fine, caught = pcall(read, text, at, objects, sha1)
  if not fine and caught ~= ENDS then error(caught, 0) end
  return objects
end

-- Returns the ids of the objects that an object names, and its message. nil if it cannot be read with certainty: it is a tag of anything but a
-- commit or tag, or its text is in an encoding that may hide characters of ASCII.
function Pack.contents(object)
  local ends_at = object.text:find("\n\n", 1, true) or #object.text
  local head, message = object.text:sub(1, ends_at), object.text:sub(ends_at + 1)
  for encoding in head:gmatch("\nencoding ([^\n]*)") do
    encoding = encoding:lower()
    if encoding ~= "utf-8" and not encoding:find("^iso%-8859%-%d+$") then return nil end
  end
  if object.kind == COMMIT then return object.parents, message end
  local target, kind = head:match("^object (%x+)\ntype (%a+)\n")
  if kind ~= "commit" and kind ~= "tag" then return nil end
  return { target }, message
end
