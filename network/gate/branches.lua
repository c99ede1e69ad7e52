-- Decides if a branch may be deleted through GitHub's REST API: any branch but the default one, whose name it asks GitHub for.
-- Loaded by the gate after github.lua (rules: network/gate/scope.py). Source: GitHub's GraphQL reference
-- (Repository.defaultBranchRef).
--
-- The action `deletable_branch` reads txn.path (txn.below, then /OWNER/REPO, txn.branches and the branch name), txn.name (the
-- host), txn.graphql_path and txn.graphql_ask (the socket). It decides (json.lua) through txn.branch.

local QUERY = "query($owner:String!,$name:String!){repository(owner:$owner,name:$name){defaultBranchRef{name}}}"

local function judge(path, below, branches, look_up)
  local owner, name, rest = path:sub(#below + 1):match("^/([^/]+)/([^/]+)(/.+)$")
  if not owner or rest:sub(1, #branches):lower() ~= branches:lower() then refuse("branch") end
  local default = look_up(owner, (name:gsub("%.git$", "")))
  if not default then refuse("default_branch", nil, "unanswered") end
  if rest:sub(#branches + 1):lower() == default:lower() then refuse(nil, nil, "default_branch") end
end

core.register_action("deletable_branch", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  decide(txn, "branch", function()
    judge(of("path"), of("below"), of("branches"), function(owner, name)
      local variables = ('{"owner":%s,"name":%s}'):format(Json.quote(owner), Json.quote(name))
      local data = GitHub.ask(QUERY, variables, of("name"), of("graphql_path"), of("graphql_ask"))
      return GitHub.text_of(data, "repository", "defaultBranchRef", "name")
    end)
  end)
end)
