-- Finds references in text to anything outside the repositories that may be pushed to, and mentions of accounts: GitHub shows both elsewhere,
-- and notifies people. Loaded by the gate after github.lua (rules: network/gate/references.py).
-- Sources: GitHub Docs, "Autolinked references and URLs" and "Basic writing and formatting syntax" (mentions); CommonMark 0.31, 2.4 and 2.5.
--
-- GitHub looks for references in rendered Markdown, so text is searched as it is written, and as it may be rendered. Code is searched like
-- other text, because parsers disagree about its ends.
--
-- The action `references` reads txn.references (repositories separated by blanks: owner/repo, owner/* or *; unset if nothing has to be
-- searched). It decides (json.lua) through txn.referring.

References = {}

local MAX_NAME = 150 -- bytes of owner/repo: GitHub permits 39 and 100
local MAX_PATH = 400 -- bytes of a URL's path that are read
local HOST = "github.com"
local KINDS = { issue = true, issues = true, pull = true, pulls = true, commit = true, commits = true, discussions = true }
local BOT = "users%.noreply%.github%.com" -- the end of the mail address of a GitHub App, as in 1+name[bot]@users...
-- Members whose strings are files or their names. GitHub does not interpret them.
local NO_TEXT = { content = true, contents = true, path = true }

-- --- forms of a text ---

local ENTITIES = {
  amp = "&", bsol = "\\", colon = ":", commat = "@", grave = "`", lowbar = "_", num = "#", period = ".", quest = "?", sol = "/",
  UnderBar = "_", Tab = "\t", NewLine = "\n",
}
-- Characters that a program may drop: controls, soft hyphens, zero-width characters and directions.
local INVISIBLE = {
  "[\0-\8\11\12\14-\31\127]", "\xC2\xAD", "\xE1\xA0\x8E", "\xE2\x80[\x8B-\x8F\xAA-\xAE]", "\xE2\x81[\xA0-\xA9]", "\xEF\xBB\xBF",
  "\xEF\xB8[\x80-\x8F]",
}
local WIDE = { ["\xEF\xBC\x83"] = "#", ["\xEF\xBC\x8F"] = "/", ["\xEF\xBC\xA0"] = "@" }

local function character(digits, base)
  local code = #digits <= 8 and tonumber(digits, base) or 0
  return code > 0 and code <= 0x10FFFF and utf8.char(code) or ""
end

-- Returns the text without character references, backslash escapes, and characters that may be dropped or replaced.
local function rendered(text)
  text = text:gsub("&#[xX](%x+);?", function(digits) return character(digits, 16) end)
  text = text:gsub("&#(%d+);?", function(digits) return character(digits, 10) end)
  text = text:gsub("&(%a+);", ENTITIES)
  for _, pattern in ipairs(INVISIBLE) do text = text:gsub(pattern, "") end
  text = text:gsub("\xEF\xBC[\x83\x8F\xA0]", WIDE)
  return (text:gsub("\\(%p)", "%1"))
end

-- --- references ---

-- Returns the part of a text before a position that may be a name or owner/repo.
local function before(text, at)
  local from = at
  while from > 1 and at - from < MAX_NAME and text:find("^[%w._/-]", from - 1) do from = from - 1 end
  return text:sub(from, at - 1)
end

-- Returns true if some repository of an account is one of `push`.
local function owns(account, push)
  account = account:lower()
  for pattern in push:lower():gmatch("%S+") do
    if pattern == "*" or pattern:match("^([^/]+)/") == account then return true end
  end
  return false
end

-- Returns the repository or account at the end of a text, as before `#1` or `@1234567`, if it is not one of `push`.
local function foreign(name, push)
  local owner, repository = name:match("([%w_-]+)/([%w._-]+)$")
  if owner then
    local whole = owner .. "/" .. repository
    return not GitHub.fits(whole, push) and whole or nil
  end
  local account = name:match("^[_-]*(%w[%w_-]*)$") -- GitHub looks in its fork of the repository
  return account and not owns(account, push) and account or nil
end

local function of_issue(text, at, push)
  local number = text:match("^%d+", at + 1)
  local name = number and foreign(before(text, at), push)
  return name and name .. "#" .. number
end

local function of_commit_or_account(text, at, push)
  local account = text:match("^%w[%w-]*", at + 1)
  if not account then return nil end
  local name = before(text, at)
  if name:find("%w$") then -- a mail address, a version or a commit
    local commit = text:match("^%x+", at + 1) or ""
    if #commit < 7 or #commit > 64 or text:find("^%w", at + 1 + #commit) then return nil end
    name = foreign(name, push)
    return name and name .. "@" .. commit
  end
  if text:sub(at - 1, at - 1) == "]" and text:find("^" .. BOT, at + 1) then return nil end
  return "@" .. account
end

local function of_url(text, at, push)
  local label = text:sub(math.max(at - 4, 1), at - 1)
  if label:find("[%w-]$") or (label:find("%.$") and label ~= "www.") then return nil end -- another host
  local path = text:sub(at + #HOST, at + #HOST + MAX_PATH):match("^%.?:?%d*([/\\][^%s<>\"'`()%[%]{}|?#]*)")
  if not path then return nil end
  path = path:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  local parts = {}
  for part in path:gmatch("[^/\\]+") do
    if part == "." or part == ".." then return HOST .. path end
    parts[#parts + 1] = part
  end
  local owner, repository, kind = parts[1], parts[2], parts[3]
  if not parts[4] or not KINDS[kind] then return nil end
  if GitHub.fits(owner .. "/" .. repository:gsub("%.git$", ""), push) then return nil end
  return ("%s/%s/%s/%s/%s"):format(HOST, owner, repository, kind, parts[4])
end

local FINDERS = { { "#", of_issue }, { "@", of_commit_or_account }, { HOST, of_url } }

-- Returns a reference in a text to anything outside the repositories `push`, or nil.
function References.find(text, push)
  local plain = rendered(text)
  for _, form in ipairs({ text, plain, (plain:gsub("<[^<>]*>", "")) }) do
    for _, finder in ipairs(FINDERS) do
      local searched = finder[1] == HOST and form:lower() or form
      local at = searched:find(finder[1], 1, true)
      while at do
        local reference = finder[2](searched, at, push)
        if reference then return reference end
        at = searched:find(finder[1], at + 1, true)
      end
    end
  end
end

-- Refuses a text with such a reference.
function References.check(text, push)
  local reference = References.find(text, push)
  if reference then refuse("ref", reference:gsub("[^%w._/#@:-]", "?"):sub(1, 100), "reference") end
end

-- Refuses a value (in the form of Json.read) with such a text at any depth. `text_of` returns the text of a value of another kind, or nil.
function References.check_value(value, push, text_of)
  if type(value) == "string" then return References.check(value, push) end
  if type(value) ~= "table" or value == Json.NULL then return end
  local text = text_of and text_of(value)
  if text then References.check(text, push) end
  for _, item in ipairs(value.items or {}) do References.check_value(item, push, text_of) end
  for name, inner in pairs(value.fields or {}) do
    if not NO_TEXT[name] or type(inner) ~= "string" then References.check_value(inner, push, text_of) end
  end
end

-- Refuses the body of a request with such a text.
function References.judge(body, push)
  -- A program may drop invalid UTF-8 (including surrogates) from within a name.
  if not utf8.len(body) or body:find("\xED[\xA0-\xBF]") then refuse("not_utf8") end
  References.check_value(Json.read(body), push)
end

core.register_action("references", { "http-req" }, function(txn)
  decide(txn, "referring", function()
    local whole, body = pcall(Members.body, txn)
    if not whole then
      if refused(body) then refuse("text_long", nil, "reference") end
      error(body, 0)
    end
    if body ~= "" then References.judge(body, txn:get_var("txn.references") or "") end
  end)
end)
