-- JSON (RFC 8259) without duplicate names, which parsers read in different ways. Loaded by the gate before the files that use
-- it (network/gate/haproxy.py).

-- Refuses the request that is being checked. `detail` is a key of Details, `name` completes it; without a `verdict` (a key of
-- Reasons) the request cannot be checked. Raises a table, because a string would be a bug's error.
function refuse(detail, name, verdict)
  local text = detail and Details[detail]:gsub("{}", function() return name end) or ""
  error({ verdict = verdict or "unclear", detail = text }, 0)
end

-- Returns true if pcall caught a refusal, and not a bug.
function refused(caught) return type(caught) == "table" and caught.verdict ~= nil end

-- Runs a check, which may refuse the request. Sets txn.VARIABLE to "fine" or to the sentence for the client; for a refusal also
-- txn.verdict and txn.detail, for the log.
function decide(txn, variable, check)
  local fine, caught = pcall(check)
  if not fine and not refused(caught) then
    core.Warning(variable .. ": " .. tostring(caught))
    caught = { verdict = "unclear", detail = Details.failed }
  end
  txn:set_var("txn." .. variable, fine and "fine" or sentence(caught.verdict, caught.detail))
  if fine then return end
  txn:set_var("txn.verdict", caught.verdict)
  if caught.detail ~= "" then txn:set_var("txn.detail", caught.detail) end
end

-- `read` parses a text. Objects are { fields = {} }, arrays { items = {} }, null is NULL. `quote` returns a string as JSON.
Json = { MAX_DEPTH = 40, NULL = setmetatable({}, { __tostring = function() return "null" end }) }

local ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function json_string(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\%c]', from)
    if not stop then refuse("json") end
    parts[#parts + 1] = text:sub(from, stop - 1)
    local character = text:sub(stop, stop)
    if character == '"' then return table.concat(parts), stop + 1 end
    if character ~= "\\" then
      if character ~= "\127" then refuse("json") end
      parts[#parts + 1], from = character, stop + 1
    else
      local escape = text:sub(stop + 1, stop + 1)
      if escape == "u" then
        local digits = text:match("^%x%x%x%x", stop + 2) or refuse("json")
        local code, past = tonumber(digits, 16), stop + 6
        if code >= 0xD800 and code <= 0xDBFF then
          local low = tonumber(text:match("^\\u(%x%x%x%x)", past) or "0", 16)
          if low < 0xDC00 or low > 0xDFFF then refuse("json") end
          code, past = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00), past + 6
        elseif code >= 0xDC00 and code <= 0xDFFF then
          refuse("json")
        end
        parts[#parts + 1], from = utf8.char(code), past
      else
        parts[#parts + 1] = ESCAPES[escape] or refuse("json")
        from = stop + 2
      end
    end
  end
end

local function blank(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local json_value

local function json_members(text, at, close, read)
  at = blank(text, at + 1)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = blank(text, read(at))
    local next = text:sub(at, at)
    if next == close then return at + 1 end
    if next ~= "," then refuse("json") end
    at = blank(text, at + 1)
  end
end

function json_value(text, at, depth)
  if depth > Json.MAX_DEPTH then refuse("json") end
  local first = text:sub(at, at)
  if first == '"' then return json_string(text, at) end
  if first == "{" then
    local object = { fields = {} }
    return object, json_members(text, at, "}", function(from)
      if text:sub(from, from) ~= '"' then refuse("json") end
      local name, past = json_string(text, from)
      past = blank(text, past)
      if text:sub(past, past) ~= ":" then refuse("json") end
      if object.fields[name] ~= nil then refuse("json_twice") end
      object.fields[name], past = json_value(text, blank(text, past + 1), depth + 1)
      return past
    end)
  end
  if first == "[" then
    local array = { items = {} }
    return array, json_members(text, at, "]", function(from)
      local item, past = json_value(text, from, depth + 1)
      array.items[#array.items + 1] = item
      return past
    end)
  end
  for word, value in pairs({ ["true"] = true, ["false"] = false, null = Json.NULL }) do
    if text:sub(at, at + #word - 1) == word then return value, at + #word end
  end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  if not number or not tonumber(number) then refuse("json") end
  return tonumber(number), at + #number
end

function Json.read(text)
  local value, at = json_value(text, blank(text, 1), 0)
  if blank(text, at) <= #text then refuse("json") end
  return value
end

function Json.quote(text)
  return '"' .. text:gsub('[%c"\\]', function(character) return ("\\u%04x"):format(character:byte()) end) .. '"'
end
