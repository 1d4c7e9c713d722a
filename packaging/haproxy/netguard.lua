-- netguard decides which requests HAProxy serves (2.6 or newer, with Lua). In the configuration:
--
--     global
--         setenv NETGUARD_ENDPOINT http://127.0.0.1:9465
--         lua-load /etc/haproxy/netguard.lua
--     frontend www
--         http-request lua.netguard
--         http-response lua.netguard-report   # netguard learns how requests end; leave it out if it is not to
--
-- netguard gets the headers Authorization, Cookie and Netguard-Signature of clients, and no others. Name those that it is to read, too:
-- decision.api_key_headers, and decision.user_header and decision.body_digest_header, which HAProxy must set itself then (http-request
-- set-header or del-header in front of lua.netguard), since a client may write anything into them:
--         setenv NETGUARD_HEADERS "X-Api-Key X-User"
-- Each setenv stands in front of lua-load. (HAProxy 2.6.12 hands no arguments of lua-load on.)
-- X-Real-IP is the address that HAProxy sees, unless you name it.
--
-- Where netguard does not answer, or answers 5xx, requests are served, and the variable txn.netguard_answer is "unreachable":
--     http-request deny deny_status 503 if { var(txn.netguard_answer) -m str unreachable }
-- refuses them instead. What netguard cannot read (too many headers, too long ones) is refused with 400.

local endpoint = os.getenv("NETGUARD_ENDPOINT") or "http://127.0.0.1:9465"
-- Milliseconds.
local patience = 500

-- What netguard reads of what clients write.
local read = { ["authorization"] = true, ["cookie"] = true, ["netguard-signature"] = true }
for name in string.gmatch(os.getenv("NETGUARD_HEADERS") or "", "[^%s,]+") do read[string.lower(name)] = true end

-- What of an answer belongs to a connection and not to the client, or only to HAProxy.
local left_out = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["x-netguard-answer"] = true,
}

local function values(of)
    local list = {}
    for at = 0, #of do
        if of[at] ~= nil then list[#list + 1] = of[at] end
    end
    return list
end

-- Whom it is about: the address that HAProxy itself sees stands last.
local function chain(headers, address)
    local said = headers["x-forwarded-for"]
    local list = said and values(said) or {}
    list[#list + 1] = address
    return { table.concat(list, ", ") }
end

local function ask(txn)
    local received = txn.http:req_get_headers()
    local address = txn.f:src()
    local headers = { ["x-real-ip"] = { address } }
    for name, of in pairs(received) do
        if read[name] then headers[name] = values(of) end
    end
    headers["x-forwarded-for"] = chain(received, address)
    headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    headers["x-original-method"] = { txn.f:method() }
    headers["x-original-uri"] = { txn.sf:pathq() }
    txn:set_var("txn.netguard_client", headers["x-forwarded-for"][1])
    txn:set_var("txn.netguard_answer", "unreachable")

    local answer = core.httpclient():get { url = endpoint .. "/v1/check", headers = headers, timeout = patience }
    local said = answer and answer.headers and answer.headers["x-netguard-answer"]
    if not said then
        -- netguard is there and cannot read the request: that must not be a way around it.
        local status = answer and answer.status or 0
        if status >= 400 and status < 500 then
            txn:set_var("txn.netguard_answer", "malformed")
            txn:done(txn:reply { status = 400, body = "this request cannot be read\n" })
        end
        return
    end
    txn:set_var("txn.netguard_answer", said[0])
    if answer.status == 200 then return end

    -- What netguard says is what the client gets: a page of work, when to come again, where to go.
    local back = {}
    for name, of in pairs(answer.headers) do
        if not left_out[name] then back[name] = values(of) end
    end
    txn:done(txn:reply { status = answer.status, headers = back, body = answer.body or "" })
end

local function report(txn)
    local client = txn:get_var("txn.netguard_client")
    if not client then return end
    core.httpclient():get {
        url = endpoint .. "/v1/report",
        headers = {
            ["x-forwarded-for"] = { client },
            ["x-netguard-answer"] = { txn:get_var("txn.netguard_answer") or "" },
            ["x-netguard-status"] = { tostring(txn.f:status()) },
        },
        timeout = patience,
    }
end

core.register_action("netguard", { "http-req" }, ask)
core.register_action("netguard-report", { "http-res" }, report)
