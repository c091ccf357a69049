-- Carries requests for this component to a session of one account, as services.md S-730 to S-732 say.
--
-- A get or set goes to one of the account's available sessions, from "<component>/<full JID of the client>"; its answer
-- comes back to exactly that address and goes on to the client. Which sessions there are is learnt from presence.

local jid_bare = require "util.jid".bare;
local jid_resource = require "util.jid".resource;
local st = require "util.stanza";

if module:get_host_type() ~= "component" then
	error("mod_requests_for_account must be loaded as a component", 0);
end

local account = assert(module:get_option_string("target_address"), "target_address is missing");
local sessions = {};

local function refuse(origin, stanza, condition)
	origin.send(st.error_reply(stanza, "cancel", condition));
	return true;
end

local function any_session()
	local all = {};
	for session in pairs(sessions) do
		all[#all + 1] = session;
	end
	return #all > 0 and all[math.random(#all)] or nil;
end

local function ask_for_presence()
	module:send(st.presence({ type = "subscribe", from = module.host, to = account }));
end

module:hook("presence/host", function (event)
	local stanza = event.stanza;
	local from, kind = stanza.attr.from, stanza.attr.type;
	if jid_bare(from) == account then
		if kind == nil then
			sessions[from] = true;
		elseif kind == "unavailable" then
			sessions[from] = nil;
		end
	end
	return true;
end, 100);

module:hook("iq/host", function (event)
	local origin, stanza = event.origin, event.stanza;
	local from, kind = stanza.attr.from, stanza.attr.type;
	local from_account = jid_bare(from) == account;
	if kind == "result" or kind == "error" then
		local client = jid_resource(stanza.attr.to);
		if from_account and client then
			local answer = st.clone(stanza);
			answer.attr.from, answer.attr.to = module.host, client;
			module:send(answer);
		end
		return true;
	end
	if from_account then
		return refuse(origin, stanza, "feature-not-implemented");
	end
	local session = any_session();
	if not session then
		return refuse(origin, stanza, "service-unavailable");
	end
	local request = st.clone(stanza);
	request.attr.from, request.attr.to = module.host .. "/" .. from, session;
	module:send(request);
	return true;
end, 100);

module:hook("message/host", function (event)
	if event.stanza.attr.type == "error" then
		return true;
	end
	return refuse(event.origin, event.stanza, "feature-not-implemented");
end, 100);

if prosody.start_time then -- the server runs already
	ask_for_presence();
else
	module:hook_global("server-started", ask_for_presence);
end
