-- Lets requests to the stores of Git LFS pass only at addresses that the git host has handed out to this sandbox. Loaded by the
-- gate after json.lua (rules: network/gate/lfs.py).
-- Source: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
--
-- The filter `lfs_addresses` reads answers for which txn.lfs_batch is true and learns the addresses in them. The action
-- `lfs_address` reads txn.name (the host) and decides (json.lua) through txn.lfs.

local METHODS = { upload = "PUT", download = "GET", verify = "POST" }
local MAX_BYTES = 2097152 -- of an answer; one for 100 objects has less than 200 KB
local MAX_ADDRESSES = 10000
local DEFAULT_SECONDS, MAX_SECONDS = 900, 86400

local addresses, count = {}, 0 -- by method and URL: { until_when, authorization }

-- Removes addresses whose time is up.
local function clear(now)
  for key, address in pairs(addresses) do
    if address.until_when < now then
      addresses[key], count = nil, count - 1
    end
  end
end

local function authorization_of(header)
  for name, value in pairs(type(header) == "table" and header.fields or {}) do
    if name:lower() == "authorization" and type(value) == "string" then return value end
  end
  return ""
end

-- Learns the addresses in an answer to POST .../objects/batch. Raises an error if it cannot be parsed.
local function learn(text)
  local now = core.now().sec
  if count >= MAX_ADDRESSES then clear(now) end
  for _, object in ipairs(Json.read(text).fields.objects.items) do
    for name, action in pairs((object.fields.actions or { fields = {} }).fields) do
      local href, seconds = action.fields.href, tonumber(action.fields.expires_in) or DEFAULT_SECONDS
      if METHODS[name] and type(href) == "string" and count < MAX_ADDRESSES then
        local key = METHODS[name] .. " " .. href
        if not addresses[key] then count = count + 1 end
        addresses[key] = {
          until_when = now + math.min(seconds, MAX_SECONDS),
          authorization = authorization_of(action.fields.header),
        }
      end
    end
  end
end

local Answer = { id = "lfs_addresses", flags = filter.FLT_CFG_FL_HTX }
Answer.__index = Answer

function Answer:new() return setmetatable({ parts = {}, size = 0 }, Answer) end

function Answer:start_analyze(txn, channel)
  if channel:is_resp() and txn:get_var("txn.lfs_batch") then filter.register_data_filter(self, channel) end
end

-- Learns before the last piece is forwarded. All pieces are forwarded in any case: an answer that cannot be parsed teaches nothing.
function Answer:http_payload(txn, message)
  if not message.channel:is_resp() or self.size > MAX_BYTES then return end
  local piece = message:body() or ""
  self.parts[#self.parts + 1], self.size = piece, self.size + #piece
  if not piece:find("}%s*$") then return end
  local fine, caught = pcall(learn, table.concat(self.parts)) -- refused if more pieces follow
  if not fine and not refused(caught) then core.Warning("lfs: " .. tostring(caught)) end
end

core.register_filter("lfs_addresses", Answer, function(answer) return answer end)

core.register_action("lfs_address", { "http-req" }, function(txn)
  local method = txn.sf:method()
  local url = "https://" .. (txn:get_var("txn.name") or "") .. txn.sf:pathq()
  local address = addresses[(method == "HEAD" and "GET" or method) .. " " .. url]
  decide(txn, "lfs", function()
    if not address then refuse(nil, nil, "not_handed_out") end
    if address.until_when < core.now().sec then refuse("lfs_expired", nil, "not_handed_out") end
    if address.authorization ~= txn.sf:req_fhdr("authorization") or txn.f:req_fhdr_cnt("authorization") > 1 then
      refuse("lfs_credential", nil, "not_handed_out")
    end
  end)
end)
