-- Decides if a branch may be deleted through GitHub's REST API: any branch but the default one, whose name it asks GitHub for.
-- Loaded by the gate after github.lua (rules: network/gate/scope.py). Source: GitHub's GraphQL reference
-- (Repository.defaultBranchRef).
--
-- The action `deletable_branch` reads txn.path (txn.below, then /OWNER/REPO, txn.branches and the branch name), txn.name (the
-- host), txn.graphql_path and txn.graphql_ask (the socket). It sets txn.branch to "fine" or to the reason for the refusal.

local QUERY = "query($owner:String!,$name:String!){repository(owner:$owner,name:$name){defaultBranchRef{name}}}"

local function judge(path, below, branches, look_up)
  local owner, name, rest = path:sub(#below + 1):match("^/([^/]+)/([^/]+)(/.+)$")
  if not owner or rest:sub(1, #branches):lower() ~= branches:lower() then refuse("this is not a branch") end
  local default = look_up(owner, (name:gsub("%.git$", "")))
  if not default then refuse("GitHub did not name the default branch") end
  if rest:sub(#branches + 1):lower() == default:lower() then refuse("the agent may not delete the default branch") end
end

core.register_action("deletable_branch", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  local fine, caught = pcall(judge, of("path"), of("below"), of("branches"), function(owner, name)
    local variables = ('{"owner":%s,"name":%s}'):format(Json.quote(owner), Json.quote(name))
    local data = GitHub.ask(QUERY, variables, of("name"), of("graphql_path"), of("graphql_ask"))
    return GitHub.text_of(data, "repository", "defaultBranchRef", "name")
  end)
  if not fine and not refused(caught) then core.Warning("branches: " .. tostring(caught)) end
  txn:set_var("txn.branch", fine and "fine" or refused(caught) or "the request cannot be checked")
end)
