-- Decides if the body of a request may pass: none, or a JSON object that has only allowed members, whatever is added to an API later. Loaded
-- by the gate after json.lua (rules: network/gate/scope.py).
--
-- The action `members` reads txn.members_allowed (names separated by blanks). It decides (json.lua) through txn.members.

Members = {}

-- Refuses a body that may not pass.
function Members.judge(body, allowed)
  local object = Json.read(body)
  if type(object) ~= "table" or not object.fields then refuse("not_object") end
  for name in pairs(object.fields) do
    if not name:find("^[a-z_]+$") or not (" " .. allowed .. " "):find(" " .. name .. " ", 1, true) then
      refuse("member", (name:gsub("[^%w_]", "?"):sub(1, 60)), "not_granted")
    end
  end
end

-- Returns the whole body of a request. Refuses a longer one, of which HAProxy has only the beginning.
function Members.body(txn)
  local body = txn.sf:req_body() or ""
  local length = txn.sf:req_hdr("content-length") or ""
  local is_empty = body == "" and length == "" and (txn.sf:req_hdr("transfer-encoding") or "") == ""
  if tostring(#body) ~= length and not is_empty then refuse("length") end
  return body
end

core.register_action("members", { "http-req" }, function(txn)
  decide(txn, "members", function()
    local body = Members.body(txn)
    if body ~= "" then Members.judge(body, txn:get_var("txn.members_allowed") or "") end
  end)
end)
