-- Reads the server name from a TLS ClientHello. Strict: a hello that could be understood in two ways has no name.
-- Sources: RFC 8446 section 4.1.2, RFC 6066 section 3. Loaded by the gate (network/gate/gate.template).
--
-- The fetch `hello_name` returns "" while bytes are missing, the name in lower case without trailing dot, or the reason for its absence in
-- parentheses: no_tls, no_name, encrypted_name or unreadable_hello of the table Details.

local SERVER_NAME, ENCRYPTED_HELLO, ENCRYPTED_NAME = 0x0000, 0xfe0d, 0xffce
local MAX_HELLO = 16384

local function absent(key) return "(" .. Details[key] .. ")" end

local Reader = {}
Reader.__index = Reader

function Reader.new(text) return setmetatable({ text = text, at = 1 }, Reader) end

function Reader:left() return #self.text - self.at + 1 end

-- Reads a number of `size` bytes; raises an error if fewer are left.
function Reader:number(size)
  if self:left() < size then error("short") end
  local value = 0
  for i = self.at, self.at + size - 1 do value = value * 256 + self.text:byte(i) end
  self.at = self.at + size
  return value
end

function Reader:bytes(size)
  if self:left() < size then error("short") end
  local bytes = self.text:sub(self.at, self.at + size - 1)
  self.at = self.at + size
  return bytes
end

-- Reads a length of `size` bytes, then as many bytes as it says.
function Reader:vector(size) return self:bytes(self:number(size)) end

local function host_name(extension)
  local outer = Reader.new(extension)
  local names = Reader.new(outer:vector(2))
  if outer:left() ~= 0 or names:number(1) ~= 0 then error("not one host name") end
  local name = names:vector(2)
  if names:left() ~= 0 then error("not one host name") end
  return name
end

local function read_hello(record)
  local outer = Reader.new(record)
  if outer:number(1) ~= 1 then error("no ClientHello") end
  local hello = Reader.new(outer:vector(3)) -- fails for a hello that continues in another record
  if outer:left() ~= 0 then error("more than a hello") end
  hello:bytes(2 + 32) -- version, random
  hello:vector(1) -- session
  hello:vector(2) -- cipher suites
  hello:vector(1) -- compression
  if hello:left() == 0 then return absent("no_name") end
  local extensions = Reader.new(hello:vector(2))
  if hello:left() ~= 0 then error("more than extensions") end
  local seen, name = {}, nil
  while extensions:left() > 0 do
    local kind = extensions:number(2)
    local body = extensions:vector(2)
    if seen[kind] then error("twice the same extension") end
    seen[kind] = true
    if kind == SERVER_NAME then name = host_name(body) end
  end
  if seen[ENCRYPTED_HELLO] or seen[ENCRYPTED_NAME] then return absent("encrypted_name") end
  if name == nil then return absent("no_name") end
  name = name:gsub("%.$", "") -- the same name in DNS; Node.js and Python send the dot of https://example.com./
  if #name > 253 or not name:match("^[%w_][%w_%.%-]*$") or name:find("..", 1, true) then error("no host name") end
  return name:lower()
end

core.register_fetches("hello_name", function(txn)
  local data = txn.req:dup() or ""
  if #data == 0 then return "" end
  if data:byte(1) ~= 22 or (#data > 1 and data:byte(2) ~= 3) then return absent("no_tls") end
  if #data < 5 then return "" end
  local size = data:byte(4) * 256 + data:byte(5)
  if size == 0 or size > MAX_HELLO then return absent("unreadable_hello") end
  if #data < 5 + size then return "" end
  local fine, name = pcall(read_hello, data:sub(6, 5 + size))
  return fine and name or absent("unreadable_hello")
end)
